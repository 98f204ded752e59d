"""Each task goes on when its own held-out error is low enough."""

import json

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.tasks import babi

WORDS = 6


def story(task, answers):
    """A story of one question per answer; the word before a question is its answer."""
    tokens = np.array([token for answer in answers for token in (answer, 2)], "int32")
    weights = np.tile([0.0, 1.0], len(answers)).astype("float32")
    targets = np.where(weights > 0, np.roll(tokens, 1), 0)
    return babi.EncodedStory(task, tokens, targets, weights)


STORIES = [story(1, [3, 3]), story(2, [3, 4]), story(3, [4, 3])] * 2
LESSONS = [babi.Lesson(1, 99), babi.Lesson(2, 99)]


def always_three():
    """A model that answers 3 to every question."""
    bias = keras.initializers.Constant(np.eye(WORDS)[3])
    tokens = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(WORDS, 2)(tokens)
    dense = keras.layers.Dense(WORDS, kernel_initializer="zeros", bias_initializer=bias)
    return keras.Model(tokens, dense(embedded))


def curriculum_of(mixture, **options):
    curriculum = keras_dnc.TaskCurriculum(mixture, STORIES, **options)
    curriculum.set_model(always_three())
    return curriculum


@pytest.fixture
def mixture():
    return babi.StoryMixture(STORIES, 4, per_epoch=6, lessons=LESSONS)


def test_tasks_go_on_by_their_own_error_within_the_lesson(mixture):
    curriculum, logs = curriculum_of(mixture), {}
    curriculum.on_epoch_end(0, logs)
    assert mixture.lesson_of == {1: 1, 2: 1, 3: 0}
    assert [logs[f"val_qa{task}"] for task in (1, 2, 3)] == [0.0, 0.5, 0.5]
    assert [logs[f"lesson_qa{task}"] for task in (1, 2, 3)] == [0, 0, 0]
    assert logs["val_error"] == pytest.approx(1 / 3)


def test_a_task_goes_on_at_the_end_of_its_patience(mixture):
    curriculum = curriculum_of(mixture, patience=3)
    for epoch, lesson in enumerate([0, 0, 1]):
        curriculum.on_epoch_end(epoch, {})
        assert mixture.lesson_of[3] == lesson


def starting_with(tasks):
    return babi.StoryMixture(STORIES, 4, 6, LESSONS, tasks=tasks)


def test_groups_start_one_after_another_and_then_all_others():
    mixture, logs = starting_with([1]), {}
    curriculum = curriculum_of(mixture, groups=[[1, 2]])
    curriculum.on_epoch_end(0, logs)
    assert mixture.lesson_of == {1: 1, 2: 0}
    assert [logs[f"lesson_qa{task}"] for task in (1, 2, 3)] == [0, -1, -1]
    curriculum.on_epoch_end(1, {})
    assert mixture.lesson_of == {1: 1, 2: 1, 3: 0}


def test_no_group_starts_before_those_that_have_started_reach_the_goal():
    mixture = starting_with([1, 3])
    curriculum = curriculum_of(mixture)
    curriculum.on_epoch_end(0, {})
    assert mixture.lesson_of == {1: 1, 3: 0}


def test_the_next_group_starts_at_the_end_of_its_patience():
    mixture = starting_with([3])
    curriculum = curriculum_of(mixture, groups=[[2]], group_patience=2)
    seen = []
    for epoch in range(4):
        curriculum.on_epoch_end(epoch, {})
        seen.append(sorted(mixture.lesson_of))
    assert seen == [[3], [2, 3], [2, 3], [1, 2, 3]]


def test_the_mixture_is_told_the_errors_of_whole_stories(mixture):
    curriculum = curriculum_of(mixture)
    logs = {}
    curriculum.on_epoch_end(0, logs)
    assert mixture.errors == {task: logs[f"val_qa{task}"] for task in (1, 2, 3)}
    assert mixture.errors[2] > 0.0


def test_its_state_is_restored_by_way_of_json(mixture):
    curriculum = curriculum_of(mixture, patience=3)
    curriculum.on_epoch_end(0, {})
    curriculum.on_epoch_end(1, {})
    state = keras.saving.deserialize_keras_object(curriculum.get_state())
    text = json.loads(json.dumps(state))
    other = babi.StoryMixture(STORIES, 4, per_epoch=6, lessons=LESSONS)
    restored = curriculum_of(other, patience=3)
    restored.set_state(text)
    assert other.lesson_of == mixture.lesson_of
    assert other.errors == mixture.errors and set(other.errors) == {1, 2, 3}
    restored.on_epoch_end(2, {})
    assert other.lesson_of == {1: 1, 2: 1, 3: 1}


def test_errors_are_counted_over_the_questions_of_a_task():
    batches = babi.StoryBatches(STORIES, 4)
    judged = keras_dnc.judge_answers(always_three(), batches)
    assert len(judged) == len(STORIES)
    assert keras_dnc.error_by_task(judged) == {1: 0.0, 2: 0.5, 3: 0.5}


def test_a_task_without_held_out_stories_is_named(mixture):
    with pytest.raises(ValueError, match=r"`held_out` must hold .*\[2, 3\]"):
        keras_dnc.TaskCurriculum(mixture, STORIES[:1])
