"""The tree of accesses finds what a scan of all slots finds."""

import numpy as np
import pytest
from keras import ops

from keras_dnc.sparse.least_recent import accessed
from keras_dnc.sparse.least_recent import least_recent
from keras_dnc.sparse.least_recent import level_sizes
from keras_dnc.sparse.least_recent import rewound
from tests.numbers import to_numpy


@pytest.mark.parametrize("memory_size", [1, 5, 300, 5000, 20_000])
def test_it_is_the_earliest_slot_of_all(rng, memory_size):
    times = np.zeros((3, memory_size), "float32")
    levels = [ops.zeros((3, size)) for size in level_sizes(memory_size)]
    for step in range(1, 9):
        oldest = to_numpy(least_recent(levels))
        np.testing.assert_array_equal(oldest[:, 0], np.argmin(times, axis=1))
        # Far more accesses than a step has, so that whole branches grow late.
        slots = rng.integers(0, memory_size, (3, memory_size))
        slots[:, 0] = oldest[:, 0]
        np.put_along_axis(times, slots, float(step), axis=1)
        new = ops.full(slots.shape, float(step))
        levels = accessed(levels, ops.convert_to_tensor(slots), new)
        np.testing.assert_array_equal(to_numpy(levels[0]), times)


def test_its_levels_are_few_and_small():
    assert level_sizes(256) == [256]
    assert level_sizes(257) == [257, 5]
    assert level_sizes(2**20) == [2**20, 2**14, 2**8]
    assert level_sizes(2**24) == [2**24, 2**18, 2**12, 2**6]


def test_slots_are_used_in_turn_from_an_empty_memory():
    levels = [ops.zeros((1, size)) for size in level_sizes(1000)]
    for step in range(5):
        slot = least_recent(levels)
        assert int(to_numpy(slot)[0, 0]) == step
        levels = accessed(levels, slot, ops.full((1, 1), step + 1.0))


def test_a_clock_that_is_set_back_keeps_the_order_of_the_last_accesses():
    now = 2.0**23
    times = ops.convert_to_tensor([[0.0, 5.0, now - 2**22, now - 7.0, now - 1.0]] * 2)
    clocks = ops.convert_to_tensor([[now], [now - 1.0]])
    (level,), time = rewound([times], clocks)
    kept = 2.0**22
    assert to_numpy(level)[0].tolist() == [0.0, 0.0, 0.0, kept - 7.0, kept - 1.0]
    assert to_numpy(level)[1].tolist() == to_numpy(times)[1].tolist()
    assert to_numpy(time)[:, 0].tolist() == [kept, now - 1.0]
