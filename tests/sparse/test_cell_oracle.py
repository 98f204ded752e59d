"""SAMCell and SDNCCell against the float64 oracle, dense and written from the paper."""

import copy

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.dnc.cells import oracle_weights
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients
from tests.sparse import oracle
from tests.sparse.cells import CELLS
from tests.sparse.cells import SIZES
from tests.sparse.cells import dense
from tests.sparse.cells import random_cell


def sizes_of(kind, memory_size):
    links = {name: min(most, memory_size) for name, most in CELLS[kind].items()}
    return {**SIZES, "memory_size": memory_size, **links}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("memory_size", [11, 3])  # 3: every slot is read, all repeat
def test_outputs_and_states_equal_the_equations(rng, kind, memory_size):
    sizes = sizes_of(kind, memory_size)
    cell = random_cell(rng, kind, **sizes)
    inputs = rng.normal(size=(3, 14, 5)).astype("float32")
    layer = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    outputs, *states = layer(inputs)
    state = to_numpy(cell.unflatten(states))
    for sequence in range(3):
        sam = oracle.SAM(oracle_weights(cell), **sizes)
        assert_close(to_numpy(outputs)[sequence], sam.run(inputs[sequence]))
        assert_close(state.read_words[sequence], sam.read_words)
        access = state.access
        assert_close(access.memory[sequence], sam.memory)
        assert_close(access.accesses[0][sequence], sam.last_access)
        found = dense(
            access.read_slots[sequence], access.read_weights[sequence], memory_size
        )
        assert_close(found, sam.read_weights)
        if "link_top_k" in sizes:
            check_links(sequence, access.links, sam, memory_size)


def check_links(sequence, links, sam, memory_size):
    for name, expected in (
        ("backward", sam.backward),
        ("forward", sam.forward),
        ("precedence", sam.precedence),
    ):
        slots = getattr(links, f"{name}_slots")[sequence]
        weights = getattr(links, f"{name}_weights")[sequence]
        assert_close(dense(slots, weights, memory_size), expected, 1e-5, name)


def test_the_oracle_has_links_to_compare(rng):
    cell = random_cell(rng, "SDNCCell")
    sam = oracle.SAM(oracle_weights(cell), **SIZES, link_top_k=5)
    sam.run(rng.normal(size=(14, 5)))
    assert np.sum(sam.forward > 0.01) > 10
    assert np.sum(sam.backward > 0.01) > 10


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("memory_size", [11, 3])
def test_gradients_equal_finite_differences_of_the_equations(rng, kind, memory_size):
    sizes = sizes_of(kind, memory_size)
    cell = random_cell(rng, kind, **sizes)
    inputs = rng.normal(size=(10, 5))
    layer = keras_dnc.MemoryRNN(cell, return_sequences=True)
    batch = ops.convert_to_tensor(inputs[None].astype("float32"))
    variables = [cell.controller.bias, cell.access.interface.dense.bias]
    _, gradients = value_and_gradients(
        lambda: ops.mean(ops.square(layer(batch, training=True))), variables
    )
    weights = oracle_weights(cell)
    first = oracle.SAM(weights, **sizes)
    first.run(inputs)
    frozen = first.link_history if "link_top_k" in sizes else None

    def mean_square(weights):
        return np.mean(
            np.square(oracle.SAM(weights, **sizes, frozen_links=frozen).run(inputs))
        )

    expected = finite_difference(weights, lambda w: w["bias"], mean_square)
    assert_close(gradients[0], expected, 1e-4)
    expected = [
        finite_difference(weights, lambda w, n=name: w["interface"][n][1], mean_square)
        for name in cell.access.interface.columns
    ]
    assert_close(gradients[1], np.concatenate(expected), 1e-4)


def finite_difference(weights, bias, function):
    """Gradient of `function(weights)` with respect to the vector `bias(weights)`."""
    gradient = np.zeros_like(bias(weights))
    for index in range(len(gradient)):
        values = []
        for step in (1e-5, -1e-5):
            moved = copy.deepcopy(weights)
            bias(moved)[index] += step
            values.append(function(moved))
        gradient[index] = (values[0] - values[1]) / 2e-5
    return gradient
