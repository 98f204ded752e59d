"""Wheels and sdists carry the pretrained models, and a wheel alone can use them."""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

from keras_dnc import saved_models

pytestmark = [pytest.mark.only("tensorflow"), pytest.mark.slow]
ROOT = pathlib.Path(__file__).parent.parent.parent
PROJECT = ("keras_dnc", "saved_models", "setup.cfg", "pyproject.toml")
PROJECT += ("README.md", "LICENSE")
PARTS = {"model.keras", "config.json", "metrics.json", "README.md"}
COPIES = {f"{name}/{part}" for name in saved_models.available() for part in PARTS}
MOST = 20_000_000  # bytes


def run(*command, cwd, **environment):
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def build(kind, project, output):
    """Build with this environment's setuptools, as `pip` does, without a network."""
    output.mkdir()
    program = f"from setuptools import build_meta as b; b.build_{kind}({str(output)!r})"
    run("-c", program, cwd=project)
    (built,) = output.iterdir()
    return built


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Copy what the packages are built from: a build writes into its project."""
    project = tmp_path_factory.mktemp("project")
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in PROJECT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, project / name, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, project / name)
    return project


@pytest.fixture(scope="module")
def sdist(project, tmp_path_factory):
    return build("sdist", project, tmp_path_factory.mktemp("built") / "sdist")


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """Build the wheel from the sdist alone."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (project,) = folder.iterdir()
    return build("wheel", project, folder / "wheel")


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder into which the wheel alone is installed."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def below(folder, names):
    return {name.split(folder, 1)[1] for name in names if folder in name}


def test_an_sdist_carries_the_models_without_exports(sdist):
    assert sdist.stat().st_size < MOST
    with tarfile.open(sdist) as archive:
        files = [member.name for member in archive if member.isfile()]
    root = f"{sdist.name.removesuffix('.tar.gz')}/"
    assert below(f"{root}saved_models/", files) == COPIES
    assert not below("/saved_models/installed/", files)


def test_a_wheel_carries_the_models_without_exports(wheel):
    with zipfile.ZipFile(wheel) as archive:
        sizes = {file.filename: file.file_size for file in archive.infolist()}
    copies = "keras_dnc/saved_models/installed/"
    assert below(copies, sizes) == COPIES
    assert {name.split("/")[0] for name in sizes} - {"keras_dnc"} == {
        f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
    }
    assert sum(sizes.values()) < MOST


def test_the_copies_of_a_wheel_are_the_models(site):
    copies = site / "keras_dnc" / "saved_models" / "installed"
    for name in COPIES:
        assert (copies / name).read_bytes() == (
            ROOT / "saved_models" / name
        ).read_bytes()


def test_an_editable_install_copies_nothing(project, tmp_path):
    wheel = build("editable", project, tmp_path / "editable")
    with zipfile.ZipFile(wheel) as archive:
        assert not below("installed/", archive.namelist())
    assert not (project / "keras_dnc" / "saved_models" / "installed").exists()


def test_the_wheel_alone_lists_and_loads_its_models(site, tmp_path):
    said = run("-m", "keras_dnc", cwd=tmp_path, PYTHONPATH=str(site))
    assert all(f" {name} " in said for name in saved_models.available())
    program = f"""
import pathlib
from keras_dnc import saved_models
path = saved_models.load("babi-dnc").folder
assert path.is_relative_to({str(site)!r}), path
try:
    saved_models.serving_folder_of("babi-dnc")
except FileNotFoundError as error:
    print(error)
"""
    said = run("-c", program, cwd=tmp_path, PYTHONPATH=str(site))
    assert "must be a model with a folder `serving/<version>`" in said


def test_serve_babi_runs_with_the_wheel_alone(site, tmp_path):
    shutil.copy(ROOT / "examples" / "serve_babi.py", tmp_path)
    story = "Mary went to the kitchen. Where is Mary?\n"
    done = subprocess.run(
        [sys.executable, "serve_babi.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        input=story,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1].startswith("kitchen ")
