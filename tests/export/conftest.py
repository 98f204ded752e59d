"""One small model of every cell, each exported once."""

from typing import Any
from typing import NamedTuple

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
SIZES = {"controller": 8, "memory_size": 9, "word_size": 4, "num_reads": 2}


class Exported(NamedTuple):
    """A model, the folder of its export, and what TensorFlow loads from there."""

    model: Any
    folder: Any
    loaded: Any

    def signature(self, name):
        return self.loaded.signatures[name]

    def expected(self, inputs):
        return self.model.predict(inputs, verbose=0)


def sequences(batch, time, seed=0):
    numbers = np.random.default_rng(seed).normal(size=(batch, time, FEATURES))
    return numbers.astype("float32")


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Give a function from the name of a cell to an `Exported`."""
    import tensorflow as tf

    known = {}

    def export(name):
        if name not in known:
            cell = CELLS[name](OUTPUTS, **SIZES)
            inputs = keras.Input((None, FEATURES))
            layer = keras_dnc.MemoryRNN(cell, return_sequences=True)
            model = keras.Model(inputs, layer(inputs))
            base = tmp_path_factory.mktemp("exported") / name
            folder = export_for_serving(model, base, warmup=sequences(2, 3))
            known[name] = Exported(model, folder, tf.saved_model.load(str(folder)))
        return known[name]

    return export
