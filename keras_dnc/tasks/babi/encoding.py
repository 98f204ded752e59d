"""Words to numbers: a story as one sequence, as Graves et al. 2016 read bAbI.

Lower case; `.` and `?` are tokens of their own; after each question stands one `-` for
every word of its answer, and only there is an answer asked for:

    tokens    mary went to the kitchen . where is mary ? -
    targets    .    .   .   .     .    .   .   .   .   . kitchen
    weights    0    0   0   0     0    0   0   0   0   0 1

With thinking steps, blanks `_` stand between question and answer: time in which a
network reads its memory more than once (Csordas and Schmidhuber 2019, section 4.2).
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from keras_dnc.tasks.task import check_positive_integers

PADDING = 0  # what `keras.layers.Embedding(mask_zero=True)` masks
UNKNOWN = 1  # every word that the vocabulary lacks
ANSWER = "-"
BLANK = "_"

_TOKEN = re.compile(r"[\w'-]+|[.?]")


class EncodedStory(NamedTuple):
    """A story in numbers.

    Attributes:
        task: 1 to 20.
        tokens: `(time,)`, int32, at least 1.
        targets: `(time,)`, int32, the answer's word where one is asked for, else 0.
        weights: `(time,)`, float32, 1 where an answer is asked for, else 0. The words
            of one answer stand next to each other; two answers never do.
    """

    task: int
    tokens: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


def tokenize(text: str) -> list[str]:
    """Cut a statement or question into lower-case words, `.` and `?`.

    Example:
        >>> tokenize("Where is Mary?")
        ['where', 'is', 'mary', '?']
    """
    return _TOKEN.findall(text.lower())


def answer_words(answer):
    """Cut an answer into its words.

    Example:
        >>> answer_words("football,apple")
        ['football', 'apple']
    """
    return [word.strip().lower() for word in answer.split(",") if word.strip()]


class Vocabulary:
    """Words and their numbers.

    0 is padding, 1 stands for every unknown word, and words follow in order.

    Args:
        words: The words, each once.

    Raises:
        ValueError: A word that comes twice.

    Example:
        >>> vocabulary = Vocabulary(["mary", "went"])
        >>> vocabulary.encode(["mary", "flew"]), len(vocabulary)
        ([2, 1], 4)
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = ["<padding>", "<unknown>", *words]
        self._numbers = {word: number for number, word in enumerate(self.words)}
        if len(self._numbers) != len(self.words):
            raise ValueError(
                "Argument `words` must hold each word once, and neither '<padding>' "
                f"nor '<unknown>'. Received: words={list(words)!r}"
            )

    @classmethod
    def from_stories(cls, stories):
        """Take `-`, `_` and the words of all lines and answers, alphabetically."""
        words = {ANSWER, BLANK}
        for story in stories:
            for line in story.lines:
                words.update(tokenize(line.text), answer_words(line.answer))
        return cls(sorted(words))

    def encode(self, words: Iterable[str]) -> list[int]:
        """Give the words' numbers."""
        return [self._numbers.get(word, UNKNOWN) for word in words]

    def decode(self, numbers) -> list[str]:
        """Give the numbers' words."""
        return [self.words[number] for number in numbers]

    def __len__(self):
        return len(self.words)


def encode_story(story, vocabulary, thinking_steps=0):
    """Write a story as one sequence of numbers.

    Args:
        story: `Story`.
        vocabulary: `Vocabulary`.
        thinking_steps: Blanks between each question and its answer, at least 0; above
            0 the vocabulary must have `_`.

    Returns:
        `EncodedStory`.

    Raises:
        ValueError: The story has no line; `thinking_steps` is no integer of at least
            0, or the vocabulary lacks the blank.
    """
    if not story.lines:
        raise ValueError(
            f"Argument `story` must have at least one line. Received: story={story!r}"
        )
    _check_thinking_steps(thinking_steps, vocabulary)
    tokens, targets, weights = [], [], []
    for line in story.lines:
        said, answer = tokenize(line.text), answer_words(line.answer)
        if answer:
            said = said + [BLANK] * thinking_steps
        tokens += vocabulary.encode(said + [ANSWER] * len(answer))
        targets += [PADDING] * len(said) + vocabulary.encode(answer)
        weights += [0.0] * len(said) + [1.0] * len(answer)
    return EncodedStory(
        task=story.task,
        tokens=np.array(tokens, "int32"),
        targets=np.array(targets, "int32"),
        weights=np.array(weights, "float32"),
    )


def first_questions(story, count):
    """Cut an encoded story after its first questions: a lesson shorter than the task.

    Args:
        story: `EncodedStory`.
        count: How many questions are kept, at least 1.

    Returns:
        `EncodedStory`, whole where it has no more questions.

    Raises:
        ValueError: `count` is no positive integer.

    Example:
        >>> tokens = np.array([3, 4, 5, 4])
        >>> story = EncodedStory(1, tokens, tokens, weights=tokens == 4)
        >>> first_questions(story, 1).tokens.tolist()
        [3, 4]
    """
    check_positive_integers(count=count)
    asked = np.append(story.weights > 0, False)
    ends = np.flatnonzero(asked[:-1] & ~asked[1:]) + 1
    if len(ends) <= count:
        return story
    parts = (story.tokens, story.targets, story.weights)
    return EncodedStory(story.task, *(part[: ends[count - 1]] for part in parts))


def _check_thinking_steps(thinking_steps, vocabulary):
    if type(thinking_steps) is not int or thinking_steps < 0:
        raise ValueError(
            "Argument `thinking_steps` must be an integer of at least 0. "
            f"Received: thinking_steps={thinking_steps!r}"
        )
    if thinking_steps and BLANK not in vocabulary.words:
        raise ValueError(
            f"Argument `vocabulary` must have the blank {BLANK!r} for thinking steps. "
            f"Received: a vocabulary of {len(vocabulary)} words without it"
        )
