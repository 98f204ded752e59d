"""Numbers out of tensors, and gradients, on every backend."""

import keras
import numpy as np
from keras import ops
from keras import tree


def to_numpy(structure):
    return tree.map_structure(ops.convert_to_numpy, structure)


def assert_close(actual, expected, tolerance=1e-5, name="", guard=1e-8):
    """|a - b| <= tolerance * max|b| + guard, for the whole array."""
    actual, expected = np.asarray(actual, "float64"), np.asarray(expected, "float64")
    assert actual.shape == expected.shape, (name, actual.shape, expected.shape)
    bound = tolerance * np.max(np.abs(expected), initial=0.0) + guard
    worst = np.max(np.abs(actual - expected), initial=0.0)
    assert worst <= bound, f"{name}: differs by {worst:.3g}, allowed {bound:.3g}"


def value_and_gradients(loss, variables, compiled=False):
    """Give `loss()` and its gradients with respect to Keras variables, as arrays."""
    compute = {
        "tensorflow": _tensorflow_gradients,
        "jax": _jax_gradients,
        "torch": _torch_gradients,
    }[keras.backend.backend()]
    value, gradients = compute(loss, variables, compiled)
    return to_numpy(value), [to_numpy(gradient) for gradient in gradients]


def _tensorflow_gradients(loss, variables, compiled):
    import tensorflow as tf

    def compute():
        with tf.GradientTape() as tape:
            value = loss()
        return value, tape.gradient(value, [v.value for v in variables])

    return tf.function(compute, jit_compile=True)() if compiled else compute()


def _jax_gradients(loss, variables, compiled):
    import jax

    def stateless(values):
        with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
            return loss()

    # Compiled or not, the numbers are XLA's; one by one, its operations take minutes.
    return jax.jit(jax.value_and_grad(stateless))([v.value for v in variables])


def _torch_gradients(loss, variables, compiled):
    import torch

    assert not compiled
    value = loss()
    return value, torch.autograd.grad(value, [v.value for v in variables])
