"""Stories with other names for their entities are still the same stories."""

import numpy as np
import pytest

from keras_dnc.tasks import babi
from keras_dnc.tasks.babi.source import Line
from keras_dnc.tasks.babi.source import Story

STORY = Story(
    19,
    (
        Line("The kitchen is north of the office."),
        Line("The garden is west of the office."),
        Line("How do you go from the garden to the kitchen?", "e,n", (1, 2)),
    ),
)
PLACES = [["garden", "kitchen", "office"]]
VOCABULARY = babi.Vocabulary.from_stories([STORY])
ENCODED = babi.encode_story(STORY, VOCABULARY)


def renamed(groups, seed=0):
    renaming = babi.Renaming(VOCABULARY, groups)
    return renaming(ENCODED, np.random.default_rng(seed))


def test_a_word_becomes_the_same_word_all_over_a_story():
    for seed in range(10):
        pairs = zip(ENCODED.tokens, renamed({19: PLACES}, seed).tokens, strict=True)
        names = {*pairs}
        assert len(names) == len({old for old, _ in names})
        assert len(names) == len({new for _, new in names})
        moved = {VOCABULARY.words[old] for old, new in names if old != new}
        assert moved <= {*PLACES[0]}


def test_all_orders_of_a_group_occur():
    orders = {tuple(renamed({19: PLACES}, seed).tokens) for seed in range(60)}
    assert len(orders) == 6


def test_answers_are_renamed_too():
    directions = [["e", "n"]]
    targets = {tuple(renamed({19: directions}, seed).targets) for seed in range(20)}
    e, n = VOCABULARY.encode(["e", "n"])
    answers = {tuple(t for t in row if t) for row in targets}
    assert answers == {(e, n), (n, e)}


def test_stories_of_other_tasks_stay_as_they_are():
    assert renamed({16: PLACES}) is ENCODED


def test_groups_are_those_whose_words_the_vocabulary_has():
    assert babi.Renaming(VOCABULARY).groups == {}
    words = sorted({word for group in babi.ENTITIES[19] for word in group})
    assert list(babi.Renaming(babi.Vocabulary(words)).groups) == [19]


def test_words_that_are_unknown_or_named_twice_are_refused():
    with pytest.raises(ValueError, match="`groups` must be a dict.*'attic'"):
        renamed({19: [["attic", "office"]]})
    with pytest.raises(ValueError, match="each word once in a task. Received"):
        renamed({19: [["garden", "office"], ["kitchen", "office"]]})
