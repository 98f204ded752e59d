"""Every cell lowers for accelerators, forward and gradient."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.conformance.cases import every_cell
from tests.conformance.cases import ntm_and_dnc
from tests.conformance.cases import ntm_and_sam
from tests.conformance.harness import TIME
from tests.conformance.harness import check_same
from tests.conformance.harness import length_mask
from tests.conformance.harness import random_inputs
from tests.numbers import assert_close
from tests.numbers import to_numpy


def exported(layer, inputs, platform):
    """Lower the loss of a layer, and its gradient, for a platform."""
    import jax

    layer.build(inputs.shape)
    variables = layer.trainable_variables

    def loss(values, inputs):
        with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
            return ops.mean(ops.square(layer(inputs, mask=length_mask())))

    values = [v.value for v in variables]
    for function in (loss, jax.grad(loss)):
        export = jax.export.export(jax.jit(function), platforms=[platform])
        yield export(values, inputs)


@every_cell
@pytest.mark.only("jax")
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_forward_and_gradient_export_for_an_accelerator(make, rng, platform):
    layer = keras.layers.RNN(make(), return_sequences=True)
    for found in exported(layer, random_inputs(rng), platform):
        assert platform in found.platforms


@every_cell
@pytest.mark.only("jax")
def test_training_lowers_for_tpus_to_operations_that_xla_has_there(make, rng):
    """A `custom_call` names a routine of one platform, such as LAPACK on CPUs."""
    layer = keras_dnc.MemoryRNN(make(), return_sequences=True)
    for found in exported(layer, random_inputs(rng), "tpu"):
        module = found.mlir_module()
        assert "stablehlo.while" in module and "custom_call" not in module


class Witness(keras.layers.LSTMCell):
    """A controller that keeps whether `torch.compile` compiles its steps."""

    def __init__(self, units, **arguments):
        super().__init__(units, **arguments)
        self.compiled = []

    def call(self, inputs, states, training=False):
        import torch

        self.compiled.append(torch.compiler.is_compiling())
        return super().call(inputs, states, training=training)


@ntm_and_sam
@pytest.mark.only("torch")
@pytest.mark.slow
@pytest.mark.parametrize("kind", [keras.layers.RNN, keras_dnc.MemoryRNN])
def test_torch_compile_leaves_the_recurrence_as_it_is(make, kind, rng):
    import torch

    torch.compiler.reset()  # else a limit on recompilations is soon reached
    witness = Witness(8)
    layer, inputs = kind(make(controller=witness)), random_inputs(rng)
    variables = layer.cell.trainable_variables
    layer(inputs)
    witness.compiled = []

    def step(inputs):
        loss = ops.sum(ops.square(layer(inputs, training=True)))
        loss.backward()
        return loss

    def found(function):
        for variable in variables:
            variable.value.grad = None
        loss = function(ops.convert_to_tensor(inputs))
        return [loss, *[variable.value.grad for variable in variables]]

    check_same(found(torch.compile(step, backend="eager")), found(step))
    assert len(witness.compiled) >= 2 * TIME and not any(witness.compiled)


@ntm_and_dnc
@pytest.mark.only("tensorflow")
def test_a_compiled_tf_function_gives_the_same_outputs_and_gradients(make, rng):
    import tensorflow as tf

    layer, inputs = keras.layers.RNN(make(), return_sequences=True), random_inputs(rng)
    layer.build(inputs.shape)
    variables = [v.value for v in layer.trainable_variables]

    def compute(inputs):
        with tf.GradientTape() as tape:
            outputs = layer(inputs, mask=tf.constant(length_mask()))
            loss = tf.reduce_mean(tf.square(outputs))
        return [outputs, *tape.gradient(loss, variables)]

    compiled = tf.function(compute, jit_compile=True)(tf.constant(inputs))
    for actual, expected in zip(compiled, compute(tf.constant(inputs)), strict=True):
        assert_close(to_numpy(actual), to_numpy(expected), 1e-4)
    assert np.all(np.isfinite(to_numpy(compiled[0])))
