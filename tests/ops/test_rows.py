"""Rows of tables: what is gathered, set and added, where slots repeat."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dnc.ops.rows import add_to_rows
from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import is_first
from keras_dnc.ops.rows import largest_of
from keras_dnc.ops.rows import set_rows
from keras_dnc.ops.rows import summed
from keras_dnc.ops.rows import values_at
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

BATCH, SIZE, WORD = 3, 7, 4
SLOTS = np.array([[1, 5, 1, 0], [2, 2, 2, 6], [3, 4, 5, 6]], "float32")
ERASED = np.array([[1], [6], [5]], "float32")  # repeated, alone, in the middle


def plain_add_to_rows(table, additions, active):
    """The same by one-hot matrices, its gradient left to the backend."""
    places = ops.one_hot(SLOTS.astype("int32"), SIZE)
    kept = 1.0 - ops.one_hot(ERASED[:, 0].astype("int32"), SIZE)
    added = ops.matmul(ops.transpose(places, (0, 2, 1)), additions)
    new = kept[:, :, None] * table + added
    return ops.where(ops.convert_to_tensor(active)[:, None, None], new, table)


@pytest.mark.parametrize("active", [None, [True, False, True]])
def test_adding_to_rows_is_a_sum_over_all_slots(rng, active):
    table = keras.Variable(rng.normal(size=(BATCH, SIZE, WORD)), dtype="float32")
    additions = keras.Variable(rng.normal(size=(BATCH, 4, WORD)), dtype="float32")
    slopes = ops.convert_to_tensor(rng.normal(size=table.shape).astype("float32"))
    mask = None if active is None else ops.convert_to_tensor(np.array(active))

    def ours():
        new, _, _ = add_to_rows(
            1.0 * table.value,
            *(ops.convert_to_tensor(part) for part in (SLOTS, ERASED)),
            1.0 * additions.value,
            mask,
        )
        return ops.sum(slopes * ops.square(new))

    def plain():
        everyone = np.array(active or [True] * BATCH)
        new = plain_add_to_rows(1.0 * table.value, 1.0 * additions.value, everyone)
        return ops.sum(slopes * ops.square(new))

    found, expected = (
        value_and_gradients(loss, [table, additions]) for loss in (ours, plain)
    )
    assert_close(found[0], expected[0])
    for ours, theirs in zip(found[1], expected[1], strict=True):
        assert_close(ours, theirs)


def test_rows_that_were_set_are_gathered_again(rng):
    table = ops.zeros((BATCH, SIZE, 2, WORD))
    slots = ops.convert_to_tensor(np.array([[6, 0], [3, 1], [2, 5]]))
    rows = rng.normal(size=(BATCH, 2, 2, WORD)).astype("float32")
    table = set_rows(table, slots, ops.convert_to_tensor(rows))
    np.testing.assert_array_equal(to_numpy(gather_rows(table, slots)), rows)
    assert np.sum(np.any(to_numpy(table) != 0.0, axis=(2, 3))) == 6


def test_more_rows_than_can_be_numbered_are_refused():
    table, slots = keras.KerasTensor((2**10, 2**21, 4)), keras.KerasTensor((2**10, 1))
    with pytest.raises(ValueError, match=r"fewer than 2\^31 rows.*2147483648 rows"):
        gather_rows(table, slots)


def test_slots_that_repeat_are_summed_at_the_first():
    slots = ops.convert_to_tensor(np.array([[4, 2, 4, 4, 0]]))
    weights = ops.convert_to_tensor(np.array([[0.1, 0.2, 0.3, 0.4, 0.5]], "float32"))
    assert_close(to_numpy(summed(slots, weights)), [[0.8, 0.2, 0.0, 0.0, 0.5]])
    first = [[True, True, False, False, True]]
    np.testing.assert_array_equal(to_numpy(is_first(slots)), first)


def test_the_largest_are_kept_and_zeros_make_up_for_what_is_missing():
    slots = ops.convert_to_tensor(np.array([[4.0, 2.0, 4.0]], "float32"))
    weights = ops.convert_to_tensor(np.array([[0.1, 0.35, 0.3]], "float32"))
    found, kept = (to_numpy(part) for part in largest_of(slots, weights, 2))
    np.testing.assert_array_equal(found, [[4, 2]])
    assert_close(kept, [[0.4, 0.35]])
    found, kept = (to_numpy(part) for part in largest_of(slots, weights, 5))
    assert_close(kept, [[0.4, 0.35, 0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(found[:, :2], [[4, 2]])


def test_places_are_chosen_of_the_last_axis(rng):
    values = rng.normal(size=(2, 3, 5)).astype("float32")
    places = rng.integers(0, 5, (2, 3, 2))
    expected = np.take_along_axis(values, places, axis=2)
    found = values_at(ops.convert_to_tensor(values), ops.convert_to_tensor(places))
    np.testing.assert_array_equal(to_numpy(found), expected)
