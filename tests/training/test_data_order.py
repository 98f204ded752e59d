"""The order of data follows from the seed and the epoch."""

import keras
import numpy as np
import pytest

from keras_dnc.training.data_order import ShuffledArrays
from keras_dnc.training.data_order import in_order

ROWS = np.arange(10)


def seen(batches):
    return [batch[0].tolist() for batch in batches]


def test_an_epoch_has_each_row_once_and_its_own_order():
    batches = ShuffledArrays((ROWS, -ROWS), 4, shuffle=True, seed=1)
    orders = []
    for _ in range(3):
        rows, targets = (np.concatenate(part) for part in zip(*batches, strict=True))
        np.testing.assert_array_equal(rows, -targets)
        np.testing.assert_array_equal(sorted(rows), ROWS)
        orders.append(rows.tolist())
        batches.on_epoch_end()
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_setting_the_epoch_restores_its_order():
    batches = ShuffledArrays((ROWS,), 3, shuffle=True, seed=1)
    batches.on_epoch_end()
    expected = seen(batches)
    again = ShuffledArrays((ROWS,), 3, shuffle=True, seed=1)
    again.epoch = 1
    assert seen(again) == expected
    assert seen(ShuffledArrays((ROWS,), 3, shuffle=True, seed=2)) != expected


def test_without_shuffling_rows_are_in_order():
    batches, _ = in_order(ROWS, 0, {"batch_size": 4, "shuffle": False})
    assert seen(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_dicts_targets_and_sample_weights_keep_their_structure():
    arguments = {"y": -ROWS, "sample_weight": 2 * ROWS, "verbose": 0}
    batches, rest = in_order({"a": ROWS, "b": ROWS[:, None]}, 0, arguments)
    inputs, targets, weights = batches[0]
    assert rest == {"verbose": 0, "shuffle": False, "validation_batch_size": 32}
    assert inputs["b"].shape == (10, 1)
    np.testing.assert_array_equal(inputs["a"], -targets)
    np.testing.assert_array_equal(weights, 2 * inputs["a"])
    unlabelled, _ = in_order(ROWS, 0, {"sample_weight": ROWS})
    assert unlabelled[0][1] is None


def test_a_validation_split_is_the_last_fraction_of_each_array():
    arguments = {"y": -ROWS, "validation_split": 0.25}
    batches, rest = in_order(ROWS, 0, arguments)
    assert sorted(batches[0][0].tolist()) == [0, 1, 2, 3, 4, 5, 6]
    inputs, targets = rest["validation_data"]
    assert inputs.tolist() == [7, 8, 9] and targets.tolist() == [-7, -8, -9]


def test_validation_data_take_the_place_of_a_split():
    arguments = {"y": ROWS, "validation_split": 0.25, "validation_data": (ROWS, ROWS)}
    batches, rest = in_order(ROWS, 0, arguments)
    assert batches.length == 10 and rest["validation_data"] == (ROWS, ROWS)


def test_held_out_batches_have_the_batch_size_unless_they_have_their_own():
    _, rest = in_order(ROWS, 0, {"batch_size": 2})
    assert rest["validation_batch_size"] == 2
    _, rest = in_order(ROWS, 0, {"batch_size": 2, "validation_batch_size": 5})
    assert rest["validation_batch_size"] == 5


def test_a_py_dataset_is_left_as_it_is():
    dataset = keras.utils.PyDataset()
    assert in_order(dataset, 0, {"verbose": 0}) == (dataset, {"verbose": 0})


@pytest.mark.parametrize(
    "batches, arguments",
    [((row for row in ROWS), {}), (ROWS, {"steps_per_epoch": 2})],
)
def test_data_whose_position_is_lost_is_refused(batches, arguments):
    with pytest.raises(ValueError, match="`batches` must be data of which each epoch"):
        in_order(batches, 0, arguments)


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"y": ROWS[:3]}, r"`arrays` must be .* same length.*\[3, 10\]"),
        ({"batch_size": 0.5}, "`batch_size` must be a positive integer"),
        ({"shuffle": "batch"}, "`shuffle`"),
        ({"validation_split": -0.2}, "`validation_split` must be at least 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        in_order(ROWS, 0, changes)
