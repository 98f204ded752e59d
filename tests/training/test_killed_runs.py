"""A run that is killed at any moment ends with the weights of one that is not."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = pathlib.Path(__file__).with_name("killed_run.py")
CALLS = 54  # of functions that change files, in a run that is not killed: at least

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
    weights, kills = kill(tmp_path, *(f"times:{seed}" for seed in range(80)))
    print(f"{kills} kills at random moments")
    assert kills >= 100
    assert_all_equal(weights)
