"""Parsing, encoding and batching of stories."""

import numpy as np
import pytest

from keras_dnc.tasks import babi
from keras_dnc.tasks.babi.encoding import UNKNOWN
from keras_dnc.tasks.babi.source import parse_stories

TEXT = """1 Mary went to the kitchen.
2 Where is Mary?\tkitchen\t1
1 John got the apple.
2 John got the milk.
3 What is John carrying?\tapple,milk\t1 2
4 Is John in Paris?\tno\t1
"""


@pytest.fixture
def stories():
    return list(parse_stories(8, TEXT))


@pytest.fixture
def vocabulary(stories):
    return babi.Vocabulary.from_stories(stories)


def test_a_file_is_cut_into_stories(stories):
    assert [len(story.lines) for story in stories] == [2, 4]
    assert stories[1].lines[2] == babi.Line(
        "What is John carrying?", "apple,milk", (1, 2)
    )


@pytest.mark.parametrize("line", ["no number", "1 Where?\tkitchen", "x Mary went."])
def test_a_line_of_another_form_is_shown(line):
    with pytest.raises(ValueError, match="A line of bAbI must be"):
        list(parse_stories(1, line))


def test_a_story_is_one_sequence_with_a_dash_for_each_answer_word(stories, vocabulary):
    story = babi.encode_story(stories[1], vocabulary)
    words = vocabulary.decode(story.tokens)
    assert " ".join(words) == (
        "john got the apple . john got the milk . what is john carrying ? - - "
        "is john in paris ? -"
    )
    asked = np.flatnonzero(story.weights)
    assert [words[t] for t in asked] == ["-", "-", "-"]
    assert vocabulary.decode(story.targets[asked]) == ["apple", "milk", "no"]
    assert np.all(story.targets[story.weights == 0] == 0)


def test_blanks_give_time_to_think_before_each_answer(stories, vocabulary):
    story = babi.encode_story(stories[1], vocabulary, thinking_steps=2)
    words = " ".join(vocabulary.decode(story.tokens))
    assert words.endswith("carrying ? _ _ - - is john in paris ? _ _ -")
    asked = np.flatnonzero(story.weights)
    assert vocabulary.decode(story.targets[asked]) == ["apple", "milk", "no"]


@pytest.mark.parametrize("steps", [-1, 1.0, True, None])
def test_thinking_steps_must_be_an_integer(stories, vocabulary, steps):
    with pytest.raises(ValueError, match="`thinking_steps` must be an integer"):
        babi.encode_story(stories[0], vocabulary, steps)


def test_a_vocabulary_without_the_blank_is_refused(stories):
    vocabulary = babi.Vocabulary(["mary", "-"])
    with pytest.raises(ValueError, match="`vocabulary` must have the blank"):
        babi.encode_story(stories[0], vocabulary, thinking_steps=1)


def test_a_story_is_cut_after_its_first_questions(stories, vocabulary):
    story = babi.encode_story(stories[1], vocabulary)
    first = babi.first_questions(story, 1)
    assert vocabulary.decode(first.tokens)[-3:] == ["?", "-", "-"]
    assert np.sum(first.weights) == 2
    for part, whole in zip(first[1:], story[1:], strict=True):
        np.testing.assert_array_equal(part, whole[: len(part)])
    assert babi.first_questions(story, 2) is story
    assert babi.first_questions(story, 3) is story


def test_a_story_keeps_at_least_one_question(stories, vocabulary):
    story = babi.encode_story(stories[0], vocabulary)
    with pytest.raises(ValueError, match="`count` must be a positive integer"):
        babi.first_questions(story, 0)


@pytest.mark.parametrize("runs", [[], [{}], [{1: 0.0}, {2: 0.0}], [{21: 0.0}]])
def test_a_table_of_errors_needs_runs_of_the_same_tasks(runs):
    with pytest.raises(ValueError, match="`errors` must be a list of dicts"):
        babi.error_table(runs)


def test_unknown_words_become_one_token(vocabulary):
    story = babi.Story(1, (babi.Line("Zork went to the kitchen."), babi.Line("Frob.")))
    tokens = babi.encode_story(story, vocabulary).tokens
    assert tokens[0] == tokens[6] == UNKNOWN
    assert np.sum(tokens == UNKNOWN) == 2


def test_a_story_without_lines_is_refused(vocabulary):
    with pytest.raises(ValueError, match="`story` must have at least one line"):
        babi.encode_story(babi.Story(1, ()), vocabulary)


def test_a_word_twice_is_refused():
    with pytest.raises(ValueError, match="`words` must hold each word once"):
        babi.Vocabulary(["mary", "mary"])


def encoded(*lengths):
    return [
        babi.EncodedStory(
            task=1,
            tokens=np.full(length, number + 1, "int32"),
            targets=np.full(length, number + 1, "int32"),
            weights=np.ones(length, "float32"),
        )
        for number, length in enumerate(lengths)
    ]


def test_each_story_goes_to_the_shortest_bucket_that_holds_it():
    batches = babi.StoryBatches(encoded(3, 9, 4, 5, 10), 2, buckets=(4, 10))
    shapes = [batches[index][0].shape for index in range(len(batches))]
    assert shapes == [(2, 4), (2, 10), (2, 10)]


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_story_is_in_exactly_one_batch(shuffle):
    stories = encoded(*range(1, 24))
    batches = babi.StoryBatches(stories, 4, shuffle=shuffle)
    for _ in range(2):
        seen = [batches[index] for index in range(len(batches))]
        numbers = sorted(int(t) for tokens, _, _ in seen for t in tokens[:, 0] if t)
        assert numbers == list(range(1, 24))
        weights = sum(np.sum(weights) for _, _, weights in seen)
        assert weights == sum(range(1, 24))
        batches.on_epoch_end()


def test_keras_sees_that_lengths_differ_in_the_first_two_batches():
    batches = babi.StoryBatches(encoded(3, 3, 3, 3, 9, 9), 2, buckets=(4, 10))
    shapes = [batches[index][0].shape for index in range(len(batches))]
    assert shapes == [(2, 4), (2, 10), (2, 4)]


def test_the_same_seed_draws_the_same_batches():
    first, second, other = (
        babi.StoryBatches(encoded(*range(1, 24)), 4, shuffle=True, seed=seed)
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first[0][0], second[0][0])
    first_order = [first[index][0][0, 0] for index in range(len(first))]
    other_order = [other[index][0][0, 0] for index in range(len(other))]
    assert first_order != other_order


def test_default_buckets_are_lengths_of_stories_and_end_at_the_longest():
    lengths = [*range(20, 120), 300]
    batches = babi.StoryBatches(encoded(*lengths), 1)
    assert batches.buckets == (30, 50, 70, 90, 118, 300)


def test_stories_of_about_one_length_share_one_bucket():
    batches = babi.StoryBatches(encoded(*range(85, 94)), 1)
    assert batches.buckets == (93,)


def test_other_stories_share_the_buckets_and_a_longer_one_has_its_own():
    batches = babi.StoryBatches(encoded(5, 9), 2, buckets=(6, 10), shuffle=True)
    assert batches.like(encoded(3, 7)).buckets == (6, 10)
    longer = batches.like(encoded(3, 12))
    assert longer.buckets == (6, 10, 12)
    assert not longer.shuffle and longer.batch_size == 2


def test_a_table_takes_the_tasks_of_runs_in_any_order():
    table = babi.error_table([{4: 1.0, 1: 3.0}, {1: 5.0, 4: 1.0}])
    assert [line.split()[0] for line in table.splitlines()[1:3]] == ["1", "4"]


def test_a_story_longer_than_the_buckets_is_refused():
    with pytest.raises(ValueError, match="at or above the longest.*an example of 9"):
        babi.StoryBatches(encoded(9), 1, buckets=(8,))


@pytest.mark.parametrize("buckets", [(), (10, 4), (4, 4, 10)])
def test_buckets_that_do_not_ascend_are_refused(buckets):
    with pytest.raises(ValueError, match="`buckets` must be lengths that ascend"):
        babi.StoryBatches(encoded(3), 1, buckets=buckets)


@pytest.mark.parametrize("batch_size", [0, 2.5, "2", True])
def test_a_batch_size_must_be_a_positive_integer(batch_size):
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        babi.StoryBatches(encoded(3), batch_size)


def test_no_stories_are_refused():
    with pytest.raises(ValueError, match="`stories` must not be empty"):
        babi.StoryBatches([], 2)


@pytest.mark.parametrize("text", [TEXT.replace("\n", "\r\n"), f"\n{TEXT}\n \n"])
def test_line_ends_of_windows_and_blank_lines_are_read(stories, text):
    assert list(parse_stories(8, text)) == stories


@pytest.mark.parametrize(
    "line",
    [
        "3 Where is Mary?",
        "3 Where is Mary?\t\t1",
        "3 Where?\thome\tone",
        "3 a\tb\t1\tc",
    ],
)
def test_a_question_without_its_fields_is_refused_by_file_and_line(line):
    text = f"1 Mary went home.\n\n{line}\n"
    with pytest.raises(ValueError, match="Received: .* in qa1.txt, line 3"):
        list(parse_stories(1, text, "qa1.txt"))
