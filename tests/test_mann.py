"""MANN's least recently used access: its equations, stories, what it refuses."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from keras_dnc.mann import least_used
from tests.conformance.harness import random_inputs
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

GUARD = 1e-6  # the package's own, in norms and in the cosine
SIZES = {"memory_size": 7, "word_size": 4, "num_reads": 2}


def random_access(rng, **arguments):
    access = keras_dnc.LRUAccess(**{**SIZES, **arguments})
    access.build((None, 6))
    for variable in access.interface.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return access


def oracle(state, read_keys, gate, write_keys, strengths, decay):
    """One step of one sample in float64, written from eq. 2-8 of the paper."""
    memory, usage, before, _ = (np.array(part, "float64") for part in state)
    order = np.argsort(usage, kind="stable")
    unused = np.zeros(len(usage))
    unused[order[: len(before)]] = 1.0  # eq. 6
    writes = gate[:, None] * before + (1 - gate[:, None]) * unused  # eq. 7
    memory[order[0]] = 0.0
    for slot in range(len(memory)):
        for head, key in enumerate(write_keys):
            memory[slot] += writes[head, slot] * key  # eq. 8
    rows, keys = (np.sqrt(np.sum(v**2, axis=1) + GUARD) for v in (memory, read_keys))
    cosine = read_keys @ memory.T / (np.outer(keys, rows) + GUARD)  # eq. 2
    cosine *= np.log1p(np.exp(strengths))[:, None]  # no equation of the paper's
    reads = np.exp(cosine) / np.exp(cosine).sum(axis=1, keepdims=True)  # eq. 3
    usage = decay * usage + reads.sum(axis=0) + writes.sum(axis=0)  # eq. 5
    return memory, usage, reads, writes, reads @ memory  # eq. 4


@pytest.mark.parametrize(
    "options",
    [{}, {"own_write_keys": True}, {"strength": "softplus"}, {"memory_size": 1}],
    ids=["paper", "own keys", "strengths", "fewer slots than heads"],
)
def test_steps_equal_the_equations(rng, options):
    access = random_access(rng, usage_decay=0.7, **options)
    state = access.get_initial_state(batch_size=3)
    for _ in range(12):
        controls = access.controls(rng.normal(size=(3, 6)).astype("float32"))
        words, new, _ = access.step(controls, state)
        if "strength" not in options:
            strength_1 = np.full((3, 2), np.log(np.expm1(1.0)))
            controls = controls._replace(read_strengths=strength_1)
        before, asked = to_numpy(state), to_numpy(controls)
        for sample in range(3):
            expected = oracle(
                [part[sample] for part in before],
                *(np.array(control[sample], "float64") for control in asked),
                0.7,
            )
            found = [part[sample] for part in to_numpy([*new, words])]
            for one, other in zip(found, expected, strict=True):
                assert_close(one, other)
        state = new


def test_with_its_gate_shut_it_writes_to_all_slots_in_turn(rng):
    access = keras_dnc.LRUAccess(memory_size=4, word_size=3, num_reads=1)
    access.build((None, 6))
    state = access.get_initial_state(batch_size=1)
    keys = rng.uniform(-1, 1, size=(9, 1, 1, 3)).astype("float32")
    for step, key in enumerate(keys):
        nothing, shut = np.zeros((1, 1, 3), "float32"), np.zeros((1, 1), "float32")
        controls = keras_dnc.LRUControls(nothing, shut, key)
        _, state, _ = access.step(controls, state)
        written = to_numpy(state.write_weights)[0, 0]
        np.testing.assert_array_equal(written, np.eye(4)[step % 4])
        assert_close(to_numpy(state.memory)[0, step % 4], key[0, 0])


def test_with_its_gate_open_it_adds_to_what_it_has_just_read(rng):
    access = keras_dnc.LRUAccess(memory_size=4, word_size=3, num_reads=1)
    access.build((None, 6))
    key = rng.uniform(-1, 1, size=(1, 1, 3)).astype("float32")
    state = access.get_initial_state(batch_size=1)._replace(
        memory=ops.ones((1, 4, 3)),
        usage=ops.convert_to_tensor([[9.0, 9.0, 9.0, 1.0]]),
        read_weights=ops.one_hot([[1]], 4),
    )
    controls = keras_dnc.LRUControls(key, np.ones((1, 1), "float32"), key)
    _, state, _ = access.step(controls, state)
    memory = to_numpy(state.memory)[0]
    assert_close(memory[1], 1.0 + key[0, 0])
    assert_close(memory[[0, 2]], np.ones((2, 3)))
    assert_close(memory[3], np.zeros(3))  # the least used is wiped all the same


def test_its_heads_start_where_the_biases_say():
    biases = {"reuse_gate": -2.0, "read_strengths": [5.0, 1.0]}
    access = keras_dnc.LRUAccess(
        num_reads=2, strength="softplus", control_biases=biases
    )
    controls = access.controls(np.zeros((3, 6), "float32"))
    gate, strengths = to_numpy([controls.reuse_gate, controls.read_strengths])
    assert_close(gate, np.full((3, 2), 1.0 / (1.0 + np.exp(2.0))))
    assert_close(strengths, np.tile([5.0, 1.0], (3, 1)))


def test_among_slots_of_equal_usage_the_first_is_the_least_used():
    first, second = to_numpy(least_used(ops.convert_to_tensor([[3.0, 1.0, 1.0]]), 2))
    np.testing.assert_array_equal(first, [[0.0, 1.0, 0.0]])
    np.testing.assert_array_equal(second, [[0.0, 0.0, 1.0]])


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_any_input_gives_finite_values_and_gradients(rng, scale):
    cell = keras_dnc.MANNCell(3, 8, **SIZES)
    layer = keras.layers.RNN(cell, return_sequences=True)
    inputs = ops.convert_to_tensor(scale * random_inputs(rng))
    layer(inputs)
    value, gradients = value_and_gradients(
        lambda: ops.mean(ops.square(layer(inputs))), cell.trainable_variables
    )
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"usage_decay": 1.0}, "`usage_decay` must be at least 0 and below 1"),
        ({"own_write_keys": 1}, "`own_write_keys` must be one of"),
        ({"num_reads": 0}, "`num_reads` must be a positive integer"),
        ({"strength": "tanh"}, "`strength` must be one of"),
        (
            {"control_biases": {"read_strengths": 5.0}},  # keys without a strength
            r"must be a dict from some of \['read_keys', 'reuse_gate'\]",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_dnc.MANNCell(3, **arguments)
