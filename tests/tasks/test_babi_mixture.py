"""Every task has the same share of the stories, at its own lesson."""

import numpy as np
import pytest

from keras_dnc.tasks import babi

LESSONS = [babi.Lesson(1, 20), babi.Lesson(2, 20), babi.Lesson(99, 99)]
ASKED = 4  # the token at which a question is answered


def story(task, sentences):
    """A story in which each sentence of six tokens is followed by a question."""
    tokens = np.array([10, 11, 12, 13, 14, ASKED] * sentences, "int32")
    weights = (tokens == ASKED).astype("float32")
    return babi.EncodedStory(task, tokens, tokens * (weights > 0), weights)


# Task 1 has five times as many stories, and they are shorter.
STORIES = [story(1, 2)] * 50 + [story(2, 5)] * 10


def mixture(stories=STORIES, batch_size=4, per_epoch=16, lessons=LESSONS, **options):
    return babi.StoryMixture(stories, batch_size, per_epoch, lessons, **options)


def rows(batches):
    """Count the questions of each row; rows of no tokens are padding."""
    return [int((row == ASKED).sum()) for tokens, _, _ in batches for row in tokens]


def drawn_tasks(batches):
    numbers = np.concatenate([numbers for _, numbers in batches._batches])
    return [batches.example(number).task for number in numbers]


def test_tasks_have_equal_shares():
    tasks = drawn_tasks(mixture())
    assert tasks.count(1) == tasks.count(2) == 8


def test_tasks_that_have_not_started_are_not_drawn():
    batches = mixture(tasks=[2])
    assert drawn_tasks(batches) == [2] * 16
    assert (batches.lesson_of, batches.waiting) == ({2: 0}, [1])
    batches.advance([2])
    batches.start(batches.waiting)
    assert drawn_tasks(batches).count(1) == 8
    assert (batches.lesson_of, batches.waiting) == ({1: 0, 2: 1}, [])


def test_stories_that_cannot_be_shared_evenly_go_to_the_first_tasks():
    tasks = drawn_tasks(mixture(per_epoch=17))
    assert (tasks.count(1), tasks.count(2)) == (9, 8)


def test_shares_are_in_proportion_to_errors_down_to_the_least():
    batches = mixture(per_epoch=20, least_share=0.25)
    assert drawn_tasks(batches).count(1) == 10  # errors are not known
    for errors, count in [({1: 0.0}, 4), ({1: 0.4, 2: 0.6}, 8), ({1: 0.1, 2: 0.2}, 10)]:
        batches.set_errors(errors)
        tasks = drawn_tasks(batches)
        assert (tasks.count(1), tasks.count(2)) == (count, 20 - count)


def test_the_order_cannot_be_kept():
    with pytest.raises(TypeError, match="`shuffle` must not be given"):
        mixture(shuffle=False)


def test_a_least_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="`least_share` must be above 0.*Received"):
        mixture(least_share=0.0)


def test_stories_are_augmented_after_they_are_cut():
    seen = []

    def without_tokens(story, rng):
        seen.append(len(story.tokens))
        return story._replace(tokens=0 * story.tokens)

    batches = mixture(augment=without_tokens)
    assert seen and max(seen) < max(len(story.tokens) for story in batches.examples)
    assert not np.any(batches[0][0])
    with pytest.raises(ValueError, match="`augment` must be a function.*Received"):
        mixture(augment=3)


def test_stories_are_cut_to_the_lesson_of_their_task():
    batches = mixture(earlier=0.0)
    assert rows(batches) == [1] * 16
    batches.advance([2])
    assert sorted(rows(batches)) == [1] * 8 + [2] * 8
    batches.advance([2])
    assert sorted(rows(batches)) == [1] * 8 + [5] * 8
    batches.advance([2])  # the last lesson remains
    assert batches.lesson_of == {1: 0, 2: 2}


def test_a_lesson_ends_with_the_last_question_within_its_tokens():
    batches = mixture(lessons=[babi.Lesson(99, 17)], earlier=0.0)
    assert sorted(rows(batches)) == [2] * 16


def test_earlier_lessons_are_not_forgotten():
    batches = mixture(per_epoch=800, earlier=0.25)
    batches.advance([1, 2])
    batches.advance([1, 2])
    counts = rows(batches)
    assert 60 <= counts.count(1) <= 140  # of 800, a quarter in two earlier lessons


def test_the_tenth_with_the_earliest_question_stands_in_for_stories_that_are_too_long():
    late = [
        babi.EncodedStory(3, *(np.pad(part, (before, 0)) for part in story(3, 1)[1:]))
        for before in range(40, 60)
    ]
    batches = mixture(late, per_epoch=50, lessons=[babi.Lesson(1, 30)])
    lengths = {len(batches.example(number).tokens) for number in range(50)}
    assert lengths == {46, 47}


def test_draws_follow_from_seed_and_epoch_and_lessons():
    def seen(batches):
        return [tokens.tolist() for tokens, _, _ in batches]

    stories = [story(task, count) for task in (1, 2) for count in range(1, 15)]
    first = mixture(stories, seed=1)
    first.advance([1])
    first.on_epoch_end()
    resumed = mixture(stories, seed=1)
    resumed.epoch = 1
    assert seen(resumed) != seen(first)
    resumed.set_lessons(first.lesson_of)
    assert seen(resumed) == seen(first)
    before = seen(first)
    first.on_epoch_end()
    assert seen(first) != before


def test_every_batch_but_the_last_is_full_and_their_number_does_not_change():
    batches = mixture(batch_size=3, tasks=[2])
    for _ in range(3):
        assert len(batches) == 6  # 16 stories
        counts = np.array(rows(batches)).reshape(-1, 3)
        assert sorted((counts > 0).sum(axis=1)) == [1, 3, 3, 3, 3, 3]
        batches.start([1])
        batches.on_epoch_end()


def test_the_first_lesson_is_not_padded_to_the_length_of_the_last():
    batches = mixture([story(1, 9)] * 40)
    assert batches[0][0].shape[1] == 6


def test_whole_stories_are_held_out_in_the_buckets_of_training():
    batches = mixture(lessons=LESSONS[:2])
    whole = batches.like([story(1, 9)])
    assert rows(whole)[0] == 9
    assert set(batches.buckets) <= set(whole.buckets)


def test_stories_to_hold_out_are_as_many_of_each_task():
    training, held_out = babi.hold_out(STORIES, per_task=5)
    assert [one.task for one in held_out] == [1] * 5 + [2] * 5
    assert len(training) == 50


def test_answers_are_judged_by_all_their_words():
    tokens = np.arange(2, 10)
    weights = np.array([0, 1, 1, 0, 1, 0, 1, 0.0])
    targets = np.array([0, 5, 6, 0, 7, 0, 1, 0])  # 1 is the unknown word
    asked = babi.EncodedStory(3, tokens, targets, weights)
    batches = babi.StoryBatches([asked], batch_size=2)
    right = np.zeros((2, 8, 10))
    right[0, np.arange(8), targets] = 1.0
    ((judged, wrong),) = batches.wrong_answers(0, right)
    assert judged is asked and wrong.tolist() == [False, False, True]
    half = right.copy()
    half[0, 2, 9] = 2.0  # the second word of the first answer
    ((_, wrong),) = batches.wrong_answers(0, half)
    assert wrong.tolist() == [True, False, True]


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"stories": []}, "`stories` must not be empty"),
        (
            {"stories": [*STORIES, babi.EncodedStory(2, *np.zeros((3, 6), "int32"))]},
            "a question in each story. Received: one of task 2",
        ),
        ({"lessons": []}, "`lessons` must not be empty"),
        ({"lessons": [babi.Lesson(0, 9)]}, "`questions` must be a positive integer"),
        ({"lessons": [babi.Lesson(1, 0.5)]}, "`tokens` must be a positive integer"),
        ({"per_epoch": True}, "`per_epoch` must be a positive integer"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"tasks": []}, r"`tasks` must be some of the tasks .* \[1, 2\]"),
        ({"tasks": [1, 3]}, "`tasks` must be some of the tasks that have stories"),
        ({"earlier": 1.0}, "`earlier` must be at least 0 and below 1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        mixture(**changes)


def test_more_stories_than_a_task_has_cannot_be_held_out():
    with pytest.raises(ValueError, match="task 2 has 10"):
        babi.hold_out(STORIES, per_task=10)
