"""A run that is killed at any moment ends with the weights of one that is not."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.training import killed_run

PROGRAM = pathlib.Path(__file__).with_name("killed_run.py")
CALLS = 48  # of functions that change files, in a run that is not killed: at least

pytestmark = pytest.mark.only("tensorflow", "jax")


def kill(folder, *kills):
    """Kill runs; return the weights of each, that of `never` first, and all kills."""
    command = [sys.executable, str(PROGRAM), str(folder), *kills]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
    cache |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    output = subprocess.run(
        command, env=os.environ | cache, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    weights = [np.load(folder / name / "weights.npz") for name in ("never", *kills)]
    return weights, sum(int(line.split()[1]) for line in output.splitlines())


def assert_all_equal(weights):
    first, *others = weights
    for other in others:
        assert set(other.files) == set(first.files)
        for name in first.files:
            np.testing.assert_array_equal(other[name], first[name])


@pytest.mark.slow
def test_a_run_killed_inside_a_save_ends_with_the_same_weights(tmp_path):
    calls = np.linspace(0, CALLS - 1, 12).astype(int)
    weights, kills = kill(tmp_path, *(f"call:{call}" for call in calls))
    assert kills == 12
    assert_all_equal(weights)


@pytest.mark.soak
def test_a_run_killed_at_every_moment_inside_a_save_ends_with_the_same_weights(
    tmp_path,
):
    weights, kills = kill(tmp_path, *(f"call:{call}" for call in range(CALLS)))
    assert kills == CALLS
    assert_all_equal(weights)


@pytest.mark.soak
def test_a_run_killed_at_random_moments_ends_with_the_same_weights(tmp_path):
    weights, kills = kill(tmp_path, *(f"times:{seed}" for seed in range(300)))
    print(f"{kills} kills at random moments")
    assert kills >= 200
    assert_all_equal(weights)


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a file system of so many KiB, or resizes it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def mount(kib):
        options = f"size={kib}k" + (",remount" if mounted else "")
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, check=False).returncode:
            pytest.skip("needs the right to mount a file system")
        mounted.append(kib)
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.soak
def test_a_run_on_a_full_disk_resumes_once_there_is_space(tmp_path, small_disk):
    whole, log = killed_run.run(tmp_path / "whole")
    failures = 0
    for kib in range(8, 160, 8):
        folder = small_disk(kib)
        try:
            killed_run.run(folder)
        except OSError:
            failures += 1
    resumed, other = killed_run.run(small_disk(1024))
    assert failures >= 4
    assert [row["loss"] for row in other] == [row["loss"] for row in log]
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.soak
def test_a_changed_byte_in_any_file_does_not_change_the_weights(tmp_path, rng):
    whole, _ = killed_run.run(tmp_path / "whole")
    killed_run.run(tmp_path / "cut", epochs=3)
    files = [path for path in (tmp_path / "cut").rglob("*") if path.is_file()]
    for number, path in enumerate(path for path in files if path.name != "lock"):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "cut", folder)
        damaged = folder / path.relative_to(tmp_path / "cut")
        content = bytearray(damaged.read_bytes())
        content[rng.integers(len(content))] ^= 1
        damaged.write_bytes(content)
        resumed, _ = killed_run.run(folder)
        for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
