"""Priority sort: the picture in the docstring, order, and what is refused."""

import numpy as np
import pytest

from keras_dnc.tasks.sorting import PrioritySortTask


def test_an_episode_looks_like_the_picture_in_the_docstring():
    task = PrioritySortTask(num_bits=2, num_items=3, num_answers=2)
    episode = task.episode([[1, 0], [0, 1], [0, 0]], [0.3, -0.8, 0.9])
    np.testing.assert_allclose(
        episode.inputs.T,
        [
            [1, 0, 0, 0, 0, 0],
            [0, 1, 0, 0, 0, 0],
            [0.3, -0.8, 0.9, 0, 0, 0],
            [0, 0, 0, 1, 0, 0],
        ],
    )
    np.testing.assert_array_equal(episode.targets[4:], [[0, 0], [1, 0]])
    np.testing.assert_array_equal(episode.mask, [0, 0, 0, 0, 1, 1])


def test_answers_fall_in_priority(rng):
    inputs, targets, mask = PrioritySortTask().sample(rng)
    assert inputs.shape == (37, 10)
    by_priority = inputs[:20][np.argsort(-inputs[:20, 8])][:16, :8]
    np.testing.assert_array_equal(targets[mask > 0], by_priority)
    assert -1.0 <= inputs[:20, 8].min() < 0.0 < inputs[:20, 8].max() <= 1.0


def test_of_equal_priorities_the_first_comes_first():
    task = PrioritySortTask(num_bits=1, num_items=3, num_answers=3)
    targets = task.episode([[1], [0], [1]], [0.5, 0.5, 0.5]).targets
    assert targets[4:, 0].tolist() == [1.0, 0.0, 1.0]


def test_bad_sizes_and_shapes_are_refused():
    with pytest.raises(ValueError, match="`num_answers` must be at most `num_items`"):
        PrioritySortTask(num_items=3, num_answers=4)
    with pytest.raises(ValueError, match="`vectors` must have shape"):
        PrioritySortTask().episode(np.zeros((20, 7)), np.zeros(20))
    with pytest.raises(ValueError, match="`priorities` must have shape"):
        PrioritySortTask().episode(np.zeros((20, 8)), np.zeros(19))
