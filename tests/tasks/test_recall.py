"""Associative recall: its layout, its answers, and what it refuses."""

import numpy as np
import pytest

from keras_dnc.tasks.recall import AssociativeRecallTask


def test_an_episode_is_laid_out_as_it_is_drawn():
    task = AssociativeRecallTask(num_bits=2, item_length=2, max_items=3)
    items = [[[1, 0], [1, 1]], [[0, 0], [1, 0]], [[0, 1], [1, 0]]]
    episode = task.episode(items, [0])
    drawn = """
        .##..#..#.##...
        ..#....#...#...
        #..#..#........
        .........#..#..
        ..............#
        ...............
        .............##"""
    rows = [[c == "#" for c in line.strip()] for line in drawn.split()]
    np.testing.assert_array_equal(episode.inputs.T, rows[:4])
    np.testing.assert_array_equal(episode.targets.T, rows[4:6])
    np.testing.assert_array_equal(episode.mask, rows[6])


def test_every_answer_is_what_followed_the_item_asked_for(rng):
    task = AssociativeRecallTask(5, 2, min_items=3, max_items=9, num_queries=4)
    for _ in range(20):
        inputs, targets, mask = task.sample(rng)
        blocks = inputs.reshape(-1, 3, 7)
        assert np.all(np.sum(blocks[:, 0, 5:], axis=1) == 1)
        items = blocks[blocks[:, 0, 5] == 1][:, 1:, :5]
        assert len(np.unique(items.reshape(len(items), -1), axis=0)) == len(items)
        shown = blocks[blocks[:, 0, 6] == 1][::2, 1:, :5]
        answers = targets[mask == 1].reshape(4, 2, 5)
        for item, answer in zip(shown, answers, strict=True):
            place = np.flatnonzero(np.all(items == item, axis=(1, 2)))[0]
            np.testing.assert_array_equal(answer, items[place + 1])
        assert not np.any(targets[mask == 0])


def test_as_many_items_as_differ_can_be_drawn(rng):
    task = AssociativeRecallTask(3, 1, min_items=8, max_items=8)
    inputs = task.sample(rng).inputs
    assert len(np.unique(inputs[1:16:2, :3], axis=0)) == 8


def test_the_same_seed_gives_the_same_batch():
    task = AssociativeRecallTask(num_queries=2)
    first, second = (task.batch(4, np.random.default_rng(3)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
        assert len(a) == 4 and a.shape[1] == task.max_time


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"num_bits": 0}, "`num_bits` must be a positive integer"),
        ({"num_queries": 1.5}, "`num_queries` must be a positive integer"),
        ({"min_items": 1}, "`min_items` must be at least 2"),
        ({"min_items": 7}, "`min_items` must be at most `max_items`"),
        ({"num_bits": 1, "item_length": 2}, "`max_items` must be at most 2"),
    ],
)
def test_bad_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message + ".*Received"):
        AssociativeRecallTask(**arguments)


@pytest.mark.parametrize("shape", [(1, 3, 6), (4, 2, 6), (4, 18)])
def test_items_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="`items` must have shape .*Received"):
        AssociativeRecallTask().episode(np.zeros(shape), [0])


@pytest.mark.parametrize("asked", [[-1], [3], [0, 1], 0])
def test_an_item_that_none_follows_is_not_asked_for(asked):
    with pytest.raises(ValueError, match="`asked` must be 1 numbers from 0 to 2"):
        AssociativeRecallTask().episode(np.zeros((4, 3, 6)), asked)
