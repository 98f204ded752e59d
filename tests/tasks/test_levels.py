"""Curricula draw from a level, and now and then from those before."""

import numpy as np
import pytest

from keras_dnc.tasks.arithmetic import AddingTask
from keras_dnc.tasks.copy import CopyTask
from keras_dnc.tasks.levels import Levels
from keras_dnc.tasks.ngram import NGramTask


def lengths(levels, count=400):
    batch = levels.batch(count, np.random.default_rng(1))
    return batch.mask.sum(axis=1).astype(int)


def exact(*sizes):
    return [CopyTask(num_bits=2, min_length=n, max_length=n) for n in sizes]


def test_a_tenth_of_the_episodes_are_of_any_earlier_level():
    levels = Levels(exact(1, 2, 5))
    assert set(lengths(levels)) == {1}
    levels.level = 2
    drawn = lengths(levels)
    for earlier in (1, 2):
        assert 0.02 < np.mean(drawn == earlier) < 0.09
    assert 0.85 < np.mean(drawn == 5) < 0.95


def test_none_are_where_none_are_asked_for():
    levels = Levels(exact(1, 2), earlier=0.0)
    levels.level = 1
    assert set(lengths(levels)) == {2}


def test_tasks_of_other_channels_and_fractions_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`tasks` must be tasks of one kind"):
        Levels([CopyTask(num_bits=2), CopyTask(num_bits=3)])
    with pytest.raises(ValueError, match="`tasks` must be tasks of one kind"):
        Levels([])
    with pytest.raises(ValueError, match="`earlier` must be at least 0 and below 1"):
        Levels(exact(1), earlier=1.0)


def test_levels_double_up_to_the_last():
    levels = Levels.doubling(lambda n: CopyTask(max_length=n), 3, 20)
    assert [task.max_length for task in levels.tasks] == [3, 6, 12, 20]
    assert levels.max_time == 41
    with pytest.raises(ValueError, match="`first` must be at most `last`"):
        Levels.doubling(lambda n: CopyTask(max_length=n), 3, 2)


def test_batches_may_be_padded_to_their_level():
    levels = Levels(exact(1, 2, 5), pad_to_level=True)
    dataset = levels.dataset(batch_size=3, steps=4)
    for level, time in enumerate((3, 5, 11)):
        levels.level = level
        assert [dataset[index][2].shape[1] for index in range(4)] == [
            time,
            11,
            time,
            time,
        ]
    easy = Levels(exact(1, 2, 5)).dataset(batch_size=3, steps=4)
    levels.level = 0
    for short, long in zip(dataset[2], easy[2], strict=True):
        np.testing.assert_array_equal(short, long[:, :3])
        assert not long[:, 3:].any()


def test_levels_are_measured_as_their_tasks_are(rng):
    levels = Levels([NGramTask(n=2, length=n) for n in (5, 20)])
    levels.level = 1
    batch = levels.batch(8, rng)
    assert levels.metric == NGramTask.metric
    assert np.all(levels.errors(batch, levels.tasks[1].optimum(batch)) == 0.0)
    sums = Levels([AddingTask()])
    assert not sums.answers_bits
    assert " = " in sums.to_text(sums.sample(rng))


@pytest.mark.parametrize("level", [-1, 2, 1.0, True])
def test_a_level_that_there_is_not_is_refused(level):
    with pytest.raises(ValueError, match="`level` must be an integer from 0 to 1"):
        Levels(exact(1, 2)).level = level
