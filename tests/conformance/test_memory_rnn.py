"""`MemoryRNN` gives the gradients of `keras.layers.RNN` around every cell."""

import keras
import pytest
from keras import ops

import keras_dnc
from tests.conformance.cases import every_cell
from tests.conformance.harness import check_same
from tests.conformance.harness import length_mask
from tests.conformance.harness import random_inputs
from tests.numbers import value_and_gradients


@every_cell
@pytest.mark.only("tensorflow", "torch")  # JAX compiles each loop for half a minute
def test_memory_rnn_gives_the_gradients_of_the_plain_layer(make, rng):
    cell, inputs = make(), random_inputs(rng)
    mask = ops.convert_to_tensor(length_mask())

    def everything(layer):
        layer(inputs)

        def loss():
            outputs = layer(ops.convert_to_tensor(inputs), mask=mask, training=True)
            return sum(ops.sum(ops.sin(3.0 * part)) for part in outputs)

        value, gradients = value_and_gradients(loss, cell.trainable_variables)
        return [value, *gradients]

    flags = {"return_sequences": True, "return_state": True}
    plain = everything(keras.layers.RNN(cell, **flags))
    check_same(everything(keras_dnc.MemoryRNN(cell, **flags)), plain, 1e-4)
