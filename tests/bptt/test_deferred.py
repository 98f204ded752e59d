"""Which weight gradients wait for the end of a chunk; their values: `test_recompute`.

A gradient may wait only if a step reads the weight in products of `ops.linear` alone.
"""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from keras_dnc.bptt.pure_cell import PureMemoryCell
from keras_dnc.bptt.residual_specs import step_specs
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

FEATURES = 3


@keras.saving.register_keras_serializable(package="tests")
class TiedLSTMCell(keras_dnc.FusedLSTMCell):
    """Reads its kernel a second time, outside the product."""

    def call(self, inputs, states, training=False):
        output, states = super().call(inputs, states, training=training)
        return output + ops.mean(self.kernel), states


def deferred_weights(controller, training=True, trainable=True, **options):
    """The paths of the weights of a cell whose gradients are deferred."""
    cell = keras_dnc.DNCCell(4, controller, memory_size=6, word_size=5, **options)
    layer = keras_dnc.MemoryRNN(cell)
    layer.build((2, None, FEATURES))
    cell.controller.trainable = trainable
    states = cell.get_initial_state(2)
    cell.get_dropout_mask(ops.zeros((2, FEATURES)))
    specs = step_specs(PureMemoryCell(cell, states, training))
    weights = cell.trainable_variables
    return [
        [weights[index].path.split("/", 1)[1] for index in product.weights]
        for product in specs.deferred
    ]


def test_all_products_of_the_dnc_are_deferred():
    controller, interface, output = deferred_weights(8)
    assert [path.rsplit("/")[-1] for path in controller] == [
        "kernel",
        "recurrent_kernel",
        "bias",
    ]
    assert all("interface" in path for path in interface)
    assert all("output_linear" in path for path in output)


def test_a_controller_of_keras_keeps_its_own_gradients():
    assert len(deferred_weights(keras.layers.LSTMCell(8))) == 2


@pytest.mark.parametrize(
    "case",
    [
        {"controller": TiedLSTMCell(8)},
        {"controller": 8, "trainable": False},
    ],
    ids=["read elsewhere too", "not trained"],
)
def test_weights_that_cannot_wait_are_not_deferred(case):
    assert deferred_weights(**case) == []


def test_dropout_in_the_controller_changes_what_is_deferred():
    def products(training):
        controller = keras_dnc.FusedLSTMCell(8, recurrent_dropout=0.2)
        return len(deferred_weights(controller, training))

    assert (products(False), products(True)) == (3, 2)


@pytest.mark.only("tensorflow", "jax")
def test_dropout_may_begin_after_a_first_training(rng):
    controller = keras_dnc.FusedLSTMCell(8, seed=1)
    cell = keras_dnc.DNCCell(4, controller, memory_size=6, word_size=5)
    layer = keras_dnc.MemoryRNN(cell)
    inputs = ops.convert_to_tensor(rng.normal(size=(2, 5, FEATURES)), "float32")
    layer.build(inputs.shape)
    for dropout in (0.0, 0.2, 0.0):
        controller.recurrent_dropout = dropout
        _, gradients = value_and_gradients(
            lambda: ops.sum(layer(inputs, training=True)), cell.trainable_variables
        )
        assert all(np.all(np.isfinite(to_numpy(g))) for g in gradients)


def test_the_gradient_of_a_weight_that_is_read_twice_is_whole(rng):
    inputs = ops.convert_to_tensor(rng.normal(size=(2, 5, FEATURES)), "float32")
    cell = keras_dnc.DNCCell(4, TiedLSTMCell(8), memory_size=6, word_size=5)
    layers = [keras_dnc.MemoryRNN(cell), keras.layers.RNN(cell)]
    for layer in layers:
        layer.build(inputs.shape)
    one, two = (
        value_and_gradients(
            lambda layer=layer: ops.sum(ops.square(layer(inputs, training=True))),
            cell.trainable_variables,
        )[1]
        for layer in layers
    )
    for found, expected in zip(one, two, strict=True):
        assert_close(found, expected, 1e-4)
    assert np.abs(ops.convert_to_numpy(one[0])).max() > 0
