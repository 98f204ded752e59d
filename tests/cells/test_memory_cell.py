"""MemoryCell: the border between named state and Keras's flat list."""

import keras
import numpy as np
import pytest

import keras_dnc
from tests.dnc.cells import random_cell
from tests.numbers import assert_close
from tests.numbers import to_numpy


def test_flatten_and_unflatten_are_each_others_inverse(rng):
    cell = random_cell(rng, num_writes=2)
    states = [rng.normal(size=(3, n)).astype("float32") for n in cell.state_size]
    back = cell.flatten(cell.unflatten(states))
    for state, same in zip(states, to_numpy(back), strict=True):
        np.testing.assert_array_equal(state, same)


def test_every_state_is_rank_2_at_the_border(rng):
    for state in random_cell(rng).get_initial_state(batch_size=3):
        assert len(state.shape) == 2


def test_names_follow_the_order_of_the_flat_list():
    controller = keras.layers.StackedRNNCells(
        [keras.layers.LSTMCell(6), keras.layers.GRUCell(5)]
    )
    cell = keras_dnc.DNCCell(3, controller, memory_size=7, word_size=4)
    sizes = dict(zip(cell.state_names, cell.state_size, strict=True))
    assert sizes == {
        "output": 3,
        "read_words": 4,
        "memory": 28,
        "usage": 7,
        "link": 49,
        "precedence_weights": 7,
        "read_weights": 7,
        "write_weights": 7,
        "controller_0_0": 6,
        "controller_0_1": 6,
        "controller_1": 5,
    }


@pytest.mark.parametrize("count", [0, 2, 12])
def test_an_error_about_the_number_of_states_tells_how_to_make_them(rng, count):
    cell = random_cell(rng)
    rule = r"a list of 10 tensors; `cell.flatten\(state\)` makes .*Received: {} tens"
    with pytest.raises(ValueError, match=rule.format(count)):
        cell.unflatten([keras.ops.zeros((2, 3))] * count)


class LearnedStart(keras.layers.GRUCell):
    """A controller with an initial state of its own."""

    def get_initial_state(self, batch_size=None):
        return [keras.ops.full((batch_size, self.units), 0.25)]


def test_the_controllers_own_initial_state_is_kept():
    cell = keras_dnc.DNCCell(3, LearnedStart(6), memory_size=7, word_size=4)
    state = to_numpy(cell.unflatten(cell.get_initial_state(batch_size=2)))
    assert_close(state.controller[0], np.full((2, 6), 0.25))
    assert np.all(state.access.memory == 0.0)
