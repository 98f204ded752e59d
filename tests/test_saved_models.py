"""Every model in the box loads, and does what its metrics say."""

import json
import pathlib

import keras
import numpy as np
import pytest

from keras_dnc.tasks.copy import RepeatCopyTask

pytestmark = pytest.mark.only("tensorflow")
BOX = pathlib.Path(__file__).parent.parent / "saved_models"
MODELS = sorted(path for path in BOX.iterdir() if path.is_dir())
PARTS = {"model.keras", "serving", "config.json", "metrics.json", "README.md"}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_a_folder_has_every_part_and_is_listed(path):
    assert {part.name for part in path.iterdir()} == PARTS
    assert f"[{path.name}]" in (BOX / "README.md").read_text()
    assert sum(file.stat().st_size for file in path.rglob("*")) < 10_000_000


@pytest.fixture(scope="module")
def repeat_copy():
    folder = BOX / "repeat-copy-dnc"
    config = json.loads((folder / "config.json").read_text())
    task = RepeatCopyTask(
        config["num_bits"],
        max_length=config["max_length"],
        max_repeats=config["max_repeats"],
    )
    return folder, task, task.batch(512, np.random.default_rng(2026))


def test_the_keras_model_repeats_without_a_wrong_bit(repeat_copy):
    folder, task, batch = repeat_copy
    model = keras.models.load_model(folder / "model.keras")
    outputs = model.predict(batch.inputs, verbose=0)
    assert np.sum(task.bit_errors(batch, outputs)) == 0


def test_the_saved_model_repeats_without_a_wrong_bit(repeat_copy):
    import tensorflow as tf

    folder, task, batch = repeat_copy
    (version,) = (folder / "serving").iterdir()
    loaded = tf.saved_model.load(str(version))
    outputs = loaded.signatures["serving_default"](inputs=tf.constant(batch.inputs))
    assert np.sum(task.bit_errors(batch, outputs["outputs"].numpy())) == 0
