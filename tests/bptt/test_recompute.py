"""Recomputing states changes what back-propagation stores, and no number."""

from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from keras import ops
from keras import tree

import keras_dnc
from keras_dnc.bptt.scan import Chunks
from keras_dnc.cells.memory_cell import CellStep
from tests.conformance.harness import FEATURES
from tests.conformance.harness import OUTPUTS
from tests.conformance.harness import check_same
from tests.conformance.harness import length_mask
from tests.conformance.harness import random_inputs
from tests.numbers import value_and_gradients
from tests.skips import cases_but_on_jax

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def dnc(**arguments):
    sizes = {"controller": 8, "memory_size": 7, "word_size": 4, "num_reads": 2}
    return keras_dnc.DNCCell(OUTPUTS, **{**sizes, **arguments})


def dnc_with_dropout():
    controller = keras.layers.LSTMCell(8, dropout=0.4, recurrent_dropout=0.3, seed=1)
    options = {"usage_gradient": True, "bypass_dropout": 0.3}
    return dnc(controller=controller, num_writes=2, **options)


def dnc_with_improvements():
    options = {"masked_content": True, "deallocate": True, "link_sharpness": True}
    return dnc(normalize=True, num_writes=2, **options)


def dnc_without_links():
    options = {"masked_content": True, "deallocate": True, "temporal_links": False}
    return dnc(normalize=True, **options)


def ntm():
    sizes = {"memory_size": 7, "word_size": 4, "num_reads": 2, "num_writes": 3}
    return keras_dnc.NTMCell(OUTPUTS, 8, initial_memory="learned", **sizes)


def mann():
    sizes = {"memory_size": 7, "word_size": 4, "num_reads": 2}
    return keras_dnc.MANNCell(OUTPUTS, 8, own_write_keys=True, **sizes)


def ntm_with_one_output():
    return keras_dnc.NTMCell(1, 8, memory_size=7, word_size=4)


CASES = {  # of 6 steps: cell, steps per chunk, whether it is masked, other arguments
    "dnc": (dnc, 4, True, {}),
    "dropout": (dnc_with_dropout, None, False, {"go_backwards": True}),
    "improvements": (dnc_with_improvements, 4, True, {}),
    "no links": (dnc_without_links, 4, True, {}),
    "ntm": (ntm, 4, True, {}),
    "mann": (mann, 4, True, {}),
    "one output": (ntm_with_one_output, 4, True, {}),
    "keras cells": (
        lambda: [keras.layers.LSTMCell(6), keras.layers.GRUCell(OUTPUTS)],
        *(1, True, {}),
    ),
    "stack": (lambda: [dnc(), keras.layers.GRUCell(9)], 50, True, {}),
}


def layers_around(cell, recompute, **arguments):
    """The layer that recomputes, and the one that does not, around one cell."""
    flags = {"return_sequences": True, "return_state": True, **arguments}
    return [keras_dnc.MemoryRNN(cell, recompute=r, **flags) for r in (recompute, 0)]


def everything(layer, rng, mask=None):
    """Outputs, states, and gradients of weights, inputs and first states."""
    inputs = keras.Variable(random_inputs(np.random.default_rng(5)))
    first = layer(inputs, mask=mask)[1:]
    states = [
        keras.Variable(0.1 + 0.1 * rng.random(state.shape), dtype="float32")
        for state in tree.flatten(first)
    ]

    def loss():
        # A layer draws its dropout masks anew at each call, from its seed; without one,
        # on PyTorch, from the seed of all.
        keras.utils.set_random_seed(1)
        for seed in layer.cell.non_trainable_variables:
            seed.assign(np.ones(seed.shape, "uint32"))
        sequences, *given = [1.0 * variable.value for variable in (inputs, *states)]
        nested = tree.pack_sequence_as(first, given)
        results = layer(sequences, initial_state=nested, mask=mask, training=True)
        unused = sum(ops.sum(state) for state in given)  # the first output is
        return unused + sum(ops.sum(ops.sin(3.0 * t)) for t in tree.flatten(results))

    variables = [*layer.trainable_variables, inputs, *states]
    value, gradients = value_and_gradients(loss, variables)
    return [value, *gradients]


@pytest.mark.parametrize(
    "make,size,masked,arguments",
    cases_but_on_jax(CASES, {"stack", "no links", "mann"}),
)
def test_the_gradients_are_those_of_the_backend(rng, make, size, masked, arguments):
    layers = layers_around(make(), size, **arguments)
    for layer in layers:
        layer(random_inputs(rng))  # builds the cell, which both share
    mask = length_mask() if masked else None
    found, expected = (
        everything(layer, np.random.default_rng(3), mask) for layer in layers
    )
    check_same(found, expected, 1e-4)


@pytest.mark.only("tensorflow", "torch")  # JAX knows whether a gradient is taken
def test_gradients_are_right_where_none_was_announced(rng):
    """A gradient at `training=False` runs the forward pass again, to store."""
    inputs = random_inputs(rng)
    layers = layers_around(dnc(), recompute=2)
    for layer in layers:
        layer(inputs)

    def gradients(layer):
        def loss():
            return sum(ops.sum(ops.sin(t)) for t in layer(inputs, training=False))

        return value_and_gradients(loss, layer.trainable_variables)

    found, expected = map(gradients, layers)
    check_same([found[0], *found[1]], [expected[0], *expected[1]], 1e-4)


@pytest.mark.only("tensorflow", "jax")
def test_a_memory_of_full_size_gives_the_same_gradients():
    """At this size near-ties of usage are many; the order must be the first one's."""
    rng = np.random.default_rng(11)
    inputs = rng.normal(size=(16, 12, FEATURES)).astype("float32")
    cell = dnc(memory_size=256, word_size=16)
    layers = layers_around(cell, recompute=5)
    for layer in layers:
        layer(inputs)

    def gradients(layer):
        def loss():
            return ops.sum(ops.square(layer(inputs, training=True)[0]))

        return value_and_gradients(loss, layer.trainable_variables, ON_TENSORFLOW)[1]

    check_same(*map(gradients, layers), 1e-4)


def test_mixed_precision_leaves_weights_and_gradients_whole(rng):
    inputs, policy = random_inputs(rng), "mixed_bfloat16"
    cell = dnc(dtype=policy)
    layers = layers_around(cell, recompute=4, dtype=policy)
    for layer in layers:
        layer(inputs)

    def found(layer):
        def loss():
            outputs = layer(inputs, training=True)[0]
            return ops.sum(ops.square(ops.cast(outputs, "float32")))

        value, gradients = value_and_gradients(loss, layer.trainable_variables)
        return [value, *gradients]

    recomputed, plain = map(found, layers)
    check_same(recomputed, plain, 2e-2)  # the plain layer rounds states at every step


class SumState(NamedTuple):
    """The state of `SumCell`."""

    output: Any
    sums: Any
    controller: Any


@keras.saving.register_keras_serializable(package="tests")
class SumCell(keras_dnc.MemoryCell):
    """A memory cell without an `Access`: its whole state is checkpointed."""

    def __init__(self):
        super().__init__()
        self.controller = keras_dnc.FeedForwardController(OUTPUTS)
        self.output_size = OUTPUTS

    @property
    def state_shapes(self):
        return SumState((OUTPUTS,), (2, OUTPUTS), [(OUTPUTS,)])

    def controller_input_size(self, input_size):
        return input_size + OUTPUTS

    def build(self, input_shape):
        self.input_size = input_shape[-1]
        self.controller.build((None, self.controller_input_size(self.input_size)))

    def step(self, inputs, state):
        seen = ops.concatenate([inputs, state.sums[:, 0]], axis=-1)
        output, controller_state = self.controller(seen, state.controller)
        sums = 0.9 * state.sums + ops.stack([output, ops.square(output)], axis=1)
        new = SumState(output, sums, controller_state)
        return CellStep(new, controls=(), found={})


@pytest.mark.only("tensorflow", "torch")  # the same code on JAX, half a minute slower
def test_a_memory_cell_without_an_access_is_stepped_again(rng):
    layers = layers_around(SumCell(), recompute=4)
    for layer in layers:
        layer(random_inputs(rng))
    check_same(*(everything(layer, np.random.default_rng(3)) for layer in layers), 1e-4)


@pytest.mark.only("tensorflow", "torch")  # JAX's states are no place to write into
def test_a_stateful_layer_trains(rng):
    layers = layers_around(dnc(), recompute=2, stateful=True)
    inputs = random_inputs(rng)

    def gradients(layer):
        layer(inputs)
        layer.reset_state()
        layer(inputs)  # so that the states are not zero

        def loss():
            return ops.sum(ops.square(layer(inputs, training=True)[0]))

        return value_and_gradients(loss, layer.cell.trainable_variables)[1]

    check_same(*map(gradients, layers), 1e-4)


def test_chunks_cover_every_step_once():
    for time in range(1, 13):
        for size in range(1, 15):
            chunks = Chunks(time, size)
            steps = [int(chunks.steps(chunk)) for chunk in range(chunks.count)]
            assert sum(steps) == time
            assert all(0 < count <= size for count in steps)


@keras.saving.register_keras_serializable(package="tests")
class CountingCell(keras.layers.Layer):
    """Counts its steps in a variable of its own."""

    state_size = output_size = FEATURES

    def build(self, shape):
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs, states):
        self.steps.assign_add(1.0)
        return inputs + states[0], [inputs + states[0]]


def test_a_cell_that_updates_a_variable_in_its_steps_is_refused(rng):
    layer = keras_dnc.MemoryRNN(CountingCell(), recompute=2)
    with pytest.raises(ValueError, match=r"`cell` must not update.*`recompute=0`"):
        layer(random_inputs(rng))


@pytest.mark.only("jax")
def test_ten_times_the_steps_need_less_than_four_times_the_memory():
    import jax

    cell = dnc(controller=256, memory_size=128, word_size=64, num_reads=4)
    layer = keras_dnc.MemoryRNN(cell)
    layer.build((4, None, FEATURES))
    weights = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]

    def loss(weights, inputs):
        outputs, _ = layer.stateless_call(weights, others, inputs, training=True)
        return ops.sum(outputs)

    def temporary_bytes(time):
        inputs = np.zeros((4, time, FEATURES), "float32")
        compiled = jax.jit(jax.grad(loss)).lower(weights, inputs).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary_bytes(1000) <= 4 * temporary_bytes(100)
