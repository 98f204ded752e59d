"""Files that earlier versions have written load, and give the same numbers."""

import pathlib
import warnings

import keras
import numpy as np
import pytest

import keras_dnc  # noqa: F401  registers what the files hold
from tests.numbers import assert_close

FOLDER = pathlib.Path(__file__).parent / "version_0_1"
NAMES = sorted(path.stem for path in FOLDER.glob("*.keras"))


@pytest.fixture(scope="module")
def outputs():
    with np.load(FOLDER / "outputs.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_before_gives_the_numbers_of_before(name, outputs):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # a file is no one's fault
        model = keras.models.load_model(FOLDER / f"{name}.keras")
    found = model(outputs["inputs"])
    assert_close(keras.ops.convert_to_numpy(found), outputs[name])


def test_every_cell_has_a_file():
    assert len(NAMES) == 14
    assert not set(NAMES) - set(np.load(FOLDER / "outputs.npz").files)
