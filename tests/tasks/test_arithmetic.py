"""Adding and argmax: pictures, what right and wrong answers are worth, refusals."""

import numpy as np
import pytest

from keras_dnc.tasks.arithmetic import AddingTask
from keras_dnc.tasks.arithmetic import ArgmaxTask


def test_the_two_marked_numbers_are_added_at_the_end():
    inputs, targets, mask = AddingTask().episode([0.5, 0.2, 0.9, 0.7, 0.1], [3, 1])
    np.testing.assert_allclose(inputs[:, 0], [0.5, 0.2, 0.9, 0.7, 0.1])
    assert inputs[:, 1].tolist() == [0, 1, 0, 1, 0]
    np.testing.assert_allclose(targets[:, 0], [0, 0, 0, 0, 0.9])
    assert mask.tolist() == [0, 0, 0, 0, 1]


def test_a_sum_is_written_as_numbers():
    episode = AddingTask().episode([0.5, 0.2, 0.9], [0, 2])
    said = np.array([[9.0], [9.0], [1.3]])
    text = "[0.50] 0.20 [0.90] = 1.40"
    assert AddingTask().to_text(episode) == text
    assert AddingTask().to_text(episode, said) == f"{text}, said 1.30"


def test_always_saying_1_has_an_error_of_a_sixth(rng):
    task = AddingTask(min_length=2, max_length=9)
    batch = task.batch(4000, rng)
    assert np.mean(task.errors(batch, np.ones_like(batch.targets))) == pytest.approx(
        1 / 6, rel=0.1
    )
    assert np.max(task.errors(batch, batch.targets)) == 0.0


@pytest.mark.parametrize("marked", [[1, 1], [0, 3], [-1, 0], [0], [0, 1, 1]])
def test_marks_that_are_not_two_places_are_refused(marked):
    with pytest.raises(ValueError, match="`marked` must be two different numbers"):
        AddingTask().episode([0.1, 0.2, 0.3], marked)


def test_the_place_of_the_greatest_is_asked_for_at_the_end():
    inputs, targets, mask = ArgmaxTask(max_length=4).episode([0.5, 0.2, 0.9, 0.7])
    np.testing.assert_allclose(inputs[:, 0], [0.5, 0.2, 0.9, 0.7, 0])
    assert inputs[:, 1].tolist() == mask.tolist() == [0, 0, 0, 0, 1]
    assert targets[-1].tolist() == [0, 0, 1, 0] and targets[:-1].sum() == 0


def test_wrong_places_are_counted_whatever_the_length(rng):
    task = ArgmaxTask(min_length=2, max_length=6)
    batch = task.batch(50, rng)
    assert np.all(task.errors(batch, batch.targets) == 0)
    assert np.all(task.errors(batch, -batch.targets) == 1)
    assert set(batch.mask.argmax(axis=1)) == {2, 3, 4, 5, 6}


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="`min_length` must be at least 2"):
        AddingTask(min_length=1)
    for values in ([], [0.1, 0.2, 0.3]):
        with pytest.raises(ValueError, match="`values` must be 1 to 2 numbers"):
            ArgmaxTask(max_length=2).episode(values)
