"""What holds for every generated task: seeds, shapes, masks, errors."""

import numpy as np
import pytest

from keras_dnc.tasks.arithmetic import AddingTask
from keras_dnc.tasks.arithmetic import ArgmaxTask
from keras_dnc.tasks.copy import CopyTask
from keras_dnc.tasks.copy import RepeatCopyTask
from keras_dnc.tasks.copy import SymbolRecallTask
from keras_dnc.tasks.levels import Levels
from keras_dnc.tasks.ngram import NGramTask
from keras_dnc.tasks.omniglot import OmniglotTask
from keras_dnc.tasks.recall import AssociativeRecallTask
from keras_dnc.tasks.sorting import PrioritySortTask

CHARACTERS = {f"A/{n}": np.full((3, 4, 4), n / 9.0, "float32") for n in range(9)}
TASKS = {
    "copy": CopyTask(max_length=5),
    "symbol": SymbolRecallTask(max_gap=5),
    "repeat copy": RepeatCopyTask(max_length=3),
    "recall": AssociativeRecallTask(max_items=4),
    "n-gram": NGramTask(n=3, length=12),
    "sort": PrioritySortTask(num_items=6, num_answers=4),
    "adding": AddingTask(max_length=6),
    "argmax": ArgmaxTask(max_length=6),
    "omniglot": OmniglotTask(CHARACTERS, num_classes=3, num_drawings=2, turn=True),
    "levels": Levels.doubling(lambda n: CopyTask(max_length=n), 1, 4),
}
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def draw(task, seed, size=30):
    return task.batch(size, np.random.default_rng(seed))


@every_task
def test_the_same_seed_gives_the_same_batch_and_another_gives_others(task):
    if isinstance(task, OmniglotTask):
        pytest.importorskip("PIL")
    first, again, other = draw(task, 3), draw(task, 3), draw(task, 4)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(first.inputs != other.inputs)


@every_task
def test_a_batch_has_the_sizes_that_the_task_gives(task):
    inputs, targets, mask = draw(task, 0)
    assert inputs.shape == (30, task.max_time, task.observation_size)
    assert targets.shape == (30, task.max_time, task.target_size)
    assert mask.shape == (30, task.max_time)
    assert {array.dtype for array in (inputs, targets, mask)} == {np.dtype("float32")}
    assert np.all(mask.max(axis=1) == 1.0)


@every_task
def test_right_answers_have_no_errors_and_wrong_ones_do(task):
    batch = draw(task, 0)
    right = 40.0 * batch.targets - 20.0 if task.answers_bits else batch.targets
    if not isinstance(task, NGramTask):  # nobody knows the bits of chance
        assert np.all(task.errors(batch, right) == 0.0)
    assert np.mean(task.errors(batch, -right - 1.0)) > 0.3


@every_task
def test_an_episode_is_written_with_and_without_an_answer(task):
    episode = task.sample(np.random.default_rng(0))
    assert len(task.to_text(episode)) < len(task.to_text(episode, episode.targets))
