"""MemoryRNN is keras.layers.RNN with clear errors."""

import keras
import numpy as np
import pytest

import keras_dnc
from tests.conformance.harness import check_same
from tests.conformance.harness import length_mask
from tests.conformance.harness import random_inputs
from tests.dnc.cells import random_cell


def test_it_gives_the_numbers_of_the_plain_layer(rng):
    cell, inputs = random_cell(rng), random_inputs(rng)
    flags = {"return_sequences": True, "return_state": True}
    plain = keras.layers.RNN(cell, **flags)(inputs, mask=length_mask())
    ours = keras_dnc.MemoryRNN(cell, **flags)(inputs, mask=length_mask())
    check_same(ours, plain)


def test_its_config_gives_the_layer_back():
    layer = keras_dnc.MemoryRNN(keras_dnc.DNCCell(3, 8), return_sequences=True)
    twin = keras_dnc.MemoryRNN.from_config(layer.get_config())
    assert twin.return_sequences
    assert twin.cell.get_config() == layer.cell.get_config()


@pytest.mark.parametrize("shape", [(2, 0, 5), (2, 3, 5, 1)])
def test_sequences_no_loop_can_run_over_are_refused(rng, shape):
    layer = keras_dnc.MemoryRNN(random_cell(rng))
    with pytest.raises(ValueError, match=r"`sequences` must have shape.*Received"):
        layer(np.zeros(shape, "float32"))


def test_a_model_refuses_sequences_of_length_0(rng):
    inputs = keras.Input((None, 5))
    model = keras.Model(inputs, keras_dnc.MemoryRNN(random_cell(rng))(inputs))
    with pytest.raises(ValueError, match="time at least 1"):
        model.predict(np.zeros((2, 0, 5), "float32"), verbose=0)
