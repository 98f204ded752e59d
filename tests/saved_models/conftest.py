"""A small model that reads text, untrained, and its folder as a pretrained one."""

import json

import keras
import pytest

import keras_dnc
from keras_dnc.saved_models import Reader

WORDS = ["-", ".", "?", "_", "garden", "is", "kitchen", "mary", "the", "to", "went"]
WORDS += ["where"]


def text_model():
    """Build a model whose answers depend on the whole story."""
    tokens = keras.Input((None,), dtype="int32")
    size = len(WORDS) + 2
    hidden = keras.layers.Embedding(size, 5)(tokens)
    cell = keras_dnc.DNCCell(size, 6, memory_size=7, word_size=4, num_reads=2)
    hidden = keras_dnc.MemoryRNN(cell, return_sequences=True)(hidden)
    sharp = keras.layers.Dense(size, kernel_initializer="orthogonal")
    return keras.Model(tokens, sharp(hidden))


@pytest.fixture(scope="package")
def model():
    keras.utils.set_random_seed(1)
    return text_model()


@pytest.fixture(scope="package")
def untold(model):
    """Build a reader once: its step is compiled once."""
    return Reader(model, WORDS)


@pytest.fixture
def reader(untold):
    """Give a reader of a new story."""
    untold.reset()
    return untold


@pytest.fixture(scope="package")
def folder(model, tmp_path_factory):
    """Write a folder of two models: one that reads text, one that does not."""
    folder = tmp_path_factory.mktemp("models")
    settings = {"reads": {"words": WORDS, "thinking_steps": 2}, "copies": {}}
    for name, config in settings.items():
        (folder / name).mkdir()
        model.save(folder / name / "model.keras")
        (folder / name / "config.json").write_text(json.dumps(config))
        (folder / name / "metrics.json").write_text("{}")
        (folder / name / "README.md").write_text(f"# {name}\n\nIt [red]{name}\n2 %.\n")
    return folder
