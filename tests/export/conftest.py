"""One small model of every cell, each exported once."""

from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.export import export_for_serving

FEATURES, OUTPUTS = 5, 3
CELLS = {
    "dnc": keras_dnc.DNCCell,
    "mann": keras_dnc.MANNCell,
    "ntm": keras_dnc.NTMCell,
    "sam": keras_dnc.SAMCell,
    "sdnc": keras_dnc.SDNCCell,
}
READERS = ("tokens", "words")
SIZES = {"controller": 8, "memory_size": 9, "word_size": 4, "num_reads": 2}


class Exported(NamedTuple):
    """A model, the folder of its export, and what TensorFlow loads from there."""

    model: Any
    folder: Any
    loaded: Any

    def signature(self, name):
        return self.loaded.signatures[name]

    def expected(self, inputs):
        import tensorflow as tf

        return self.model(tf.constant(inputs), training=False).numpy()


def sequences(batch, time, seed=0):
    numbers = np.random.default_rng(seed).normal(size=(batch, time, FEATURES))
    return numbers.astype("float32")


def around(cell):
    """A model of one memory cell."""
    inputs = keras.Input((None, FEATURES))
    layer = keras_dnc.MemoryRNN(cell(OUTPUTS, **SIZES), return_sequences=True)
    return keras.Model(inputs, layer(inputs))


def reader(name):
    """A model that reads tokens, or words as they are."""
    lookup = keras.layers.StringLookup(vocabulary=["mary", "home"])
    text = [keras.Input((None,), dtype="string"), lookup]
    numbers = [keras.Input((None,), dtype="int32")]
    hidden = keras.layers.LSTM(OUTPUTS, return_sequences=True)
    layers = [keras.layers.Embedding(9, 4), hidden]
    return keras.Sequential([*(text if name == "words" else numbers), *layers])


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Give a function from the name of a cell, or of `READERS`, to an `Exported`."""
    import tensorflow as tf

    known = {}

    def export(name):
        if name not in known:
            model = reader(name) if name in READERS else around(CELLS[name])
            base = tmp_path_factory.mktemp("exported") / name
            folder = export_for_serving(model, base)
            known[name] = Exported(model, folder, tf.saved_model.load(str(folder)))
        return known[name]

    return export
