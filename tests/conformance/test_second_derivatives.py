"""Derivatives of derivatives through `MemoryRNN` are right, or refused."""

import keras
import pytest
from keras import ops

import keras_dnc
from tests.conformance.cases import CELLS
from tests.conformance.cases import case
from tests.conformance.cases import every_cell
from tests.conformance.harness import check_same
from tests.conformance.harness import random_inputs
from tests.numbers import value_and_gradients

BACKEND = keras.backend.backend()
SPARSE = ("sam", "sdnc-lsh")
DENSE = [name for name in CELLS if name not in SPARSE]


def gradient_penalty(layer, inputs):
    """The squared norm of a gradient with respect to the inputs."""

    def value(inputs):
        return ops.sum(ops.square(layer(inputs, training=True)))

    if BACKEND == "jax":
        import jax

        return ops.sum(ops.square(jax.grad(value)(inputs)))
    if BACKEND == "torch":
        import torch

        inputs = inputs.clone().requires_grad_()
        (found,) = torch.autograd.grad(value(inputs), inputs, create_graph=True)
        return ops.sum(ops.square(found))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = value(inputs)
    return ops.sum(ops.square(tape.gradient(loss, inputs)))


def derivatives(layer, inputs):
    inputs = ops.convert_to_tensor(inputs)
    layer(inputs)
    variables = layer.trainable_variables
    penalty, gradients = value_and_gradients(
        lambda: gradient_penalty(layer, inputs), variables
    )
    return [penalty, *gradients]


def both(make, rng):
    cell, inputs = make(), random_inputs(rng, time=4)
    return [
        derivatives(kind(cell, return_sequences=True), inputs)
        for kind in (keras_dnc.MemoryRNN, keras.layers.RNN)
    ]


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("make", [case(name) for name in DENSE])
def test_a_gradient_penalty_of_a_dense_memory_is_that_of_the_plain_layer(make, rng):
    check_same(*both(make, rng), 1e-3)


@pytest.mark.slow
@pytest.mark.only("jax")
@pytest.mark.parametrize("make", [case("sam", skipped=())])
def test_a_gradient_penalty_on_jax_is_that_of_the_plain_layer(make, rng):
    check_same(*both(make, rng), 1e-3)


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("make", [case(name) for name in SPARSE])
def test_a_gradient_penalty_of_a_sparse_memory_is_refused_on_tensorflow(make, rng):
    inputs = random_inputs(rng, time=4)
    layer = keras_dnc.MemoryRNN(make(), return_sequences=True)
    with pytest.raises(NotImplementedError, match="`keras.layers.RNN\\(cell\\)` or"):
        derivatives(layer, inputs)
    plain, other = make(), keras_dnc.MemoryRNN(make(), recompute=0)
    assert derivatives(keras.layers.RNN(plain), inputs)[0] > 0
    assert derivatives(other, inputs)[0] > 0


@pytest.mark.only("torch")
@every_cell
def test_a_gradient_penalty_is_refused_on_pytorch(make, rng):
    layer = keras_dnc.MemoryRNN(make(), return_sequences=True)
    with pytest.raises(NotImplementedError, match="gradient of a gradient is not"):
        derivatives(layer, random_inputs(rng, time=4))
