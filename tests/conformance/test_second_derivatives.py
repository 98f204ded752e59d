"""Derivatives of derivatives through `MemoryRNN` are right, or refused."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.conformance.cases import CELLS
from tests.conformance.cases import case
from tests.conformance.cases import every_cell
from tests.conformance.harness import check_same
from tests.conformance.harness import random_inputs
from tests.numbers import assert_close
from tests.numbers import to_numpy
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


@pytest.mark.slow
@pytest.mark.only("jax")
@pytest.mark.parametrize("make", [case("ntm"), case("sam")])
def test_forward_mode_is_refused_with_the_remedy_which_works(make, rng):
    import jax

    inputs = ops.convert_to_tensor(random_inputs(rng, time=2)[:1])
    cell = make()

    def loss_of(layer):
        layer(inputs)
        return lambda data: ops.sum(ops.square(layer(data)))

    loss = loss_of(keras_dnc.MemoryRNN(cell))
    for differentiate in (
        lambda: jax.jvp(loss, (inputs,), (inputs,)),
        lambda: jax.hessian(loss)(inputs),
    ):
        with pytest.raises(NotImplementedError, match="`jax.hessian` needs .*RNN`"):
            differentiate()
    plain = loss_of(keras_dnc.MemoryRNN(cell, recompute=0))
    hessian = to_numpy(jax.hessian(plain)(inputs)).reshape(10, 10)
    step = 1e-2 * np.eye(10)[0].reshape(1, 2, 5).astype("float32")
    slope = jax.grad(plain)
    expected = (slope(inputs + step) - slope(inputs - step)).ravel() / 2e-2
    assert_close(hessian[0], to_numpy(expected), 2e-2)


@pytest.mark.slow
@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("make", [case("ntm"), case("sam")])
def test_a_jacobian_is_that_of_the_plain_layer(make, rng):
    import tensorflow as tf

    cell, inputs = make(), tf.constant(random_inputs(rng, time=2))

    def jacobian(layer):
        layer(inputs)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
        return tape.jacobian(outputs, inputs, experimental_use_pfor=False)

    found = jacobian(keras_dnc.MemoryRNN(cell))
    check_same([found], [jacobian(keras.layers.RNN(cell))], 1e-4)
