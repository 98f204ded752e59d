"""Words to numbers: a story as one sequence, as Graves et al. 2016 read bAbI.

Lower case; `.` and `?` are tokens of their own; after each question stands one `-` for
every word of its answer, and only there is an answer asked for:

    tokens    mary went to the kitchen . where is mary ? -
    targets    .    .   .   .     .    .   .   .   .   . kitchen
    weights    0    0   0   0     0    0   0   0   0   0 1
"""

import re
from typing import NamedTuple

import numpy as np

PADDING = 0  # what `keras.layers.Embedding(mask_zero=True)` masks
UNKNOWN = 1  # every word that the vocabulary lacks
ANSWER = "-"

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


def tokenize(text):
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

    def __init__(self, words):
        self.words = ["<padding>", "<unknown>", *words]
        self._numbers = {word: number for number, word in enumerate(self.words)}
        if len(self._numbers) != len(self.words):
            raise ValueError(
                "Argument `words` must hold each word once, and neither '<padding>' "
                f"nor '<unknown>'. Received: words={list(words)!r}"
            )

    @classmethod
    def from_stories(cls, stories):
        """Take the words of all lines and answers, in alphabetical order."""
        words = {ANSWER}
        for story in stories:
            for line in story.lines:
                words.update(tokenize(line.text), answer_words(line.answer))
        return cls(sorted(words))

    def encode(self, words):
        """Give the words' numbers."""
        return [self._numbers.get(word, UNKNOWN) for word in words]

    def decode(self, numbers):
        """Give the numbers' words."""
        return [self.words[number] for number in numbers]

    def __len__(self):
        return len(self.words)


def encode_story(story, vocabulary):
    """Write a story as one sequence of numbers.

    Args:
        story: `Story`.
        vocabulary: `Vocabulary`.

    Returns:
        `EncodedStory`.

    Raises:
        ValueError: The story has no line.
    """
    if not story.lines:
        raise ValueError(
            f"Argument `story` must have at least one line. Received: story={story!r}"
        )
    tokens, targets, weights = [], [], []
    for line in story.lines:
        said, answer = tokenize(line.text), answer_words(line.answer)
        tokens += vocabulary.encode(said + [ANSWER] * len(answer))
        targets += [PADDING] * len(said) + vocabulary.encode(answer)
        weights += [0.0] * len(said) + [1.0] * len(answer)
    return EncodedStory(
        task=story.task,
        tokens=np.array(tokens, "int32"),
        targets=np.array(targets, "int32"),
        weights=np.array(weights, "float32"),
    )
