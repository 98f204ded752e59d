"""A story as one sequence of integers (the format of Graves et al. 2016).

Words are in lower case, and `.` and `?` are tokens. Each question is followed by one
`-` for every word of its answer, and the answer is predicted at those steps only:

    tokens    mary went to the kitchen . where is mary ? -
    targets    .    .   .   .     .    .   .   .   .   . kitchen
    weights    0    0   0   0     0    0   0   0   0   0 1

Thinking steps are blanks `_` between question and answer, in which a network can read
its memory several times (Csordas and Schmidhuber 2019, section 4.2).
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from keras_dnc.tasks.babi.source import Story
from keras_dnc.tasks.task import check_positive_integers

PADDING = 0  # masked by `keras.layers.Embedding(mask_zero=True)`
UNKNOWN = 1  # index of every word that is not in the vocabulary
ANSWER = "-"
BLANK = "_"

_TOKEN = re.compile(r"[\w'-]+|[.?]")


class EncodedStory(NamedTuple):
    """A story as one sequence, words encoded as integers.

    Attributes:
        task: Number of the task, 1 to 20.
        tokens: `(time,)`, int32, at least 1.
        targets: `(time,)`, int32, a word of the answer at answer steps, else 0.
        weights: `(time,)`, float32, 1 at answer steps, else 0. The words of one answer
            are adjacent; two answers never are.

    Example:
        >>> tokens, targets = np.array([3, 4, 2]), np.array([0, 0, 5])
        >>> story = EncodedStory(1, tokens, targets, weights=np.array([0.0, 0.0, 1.0]))
        >>> story.targets[story.weights > 0].tolist()
        [5]
    """

    task: int
    tokens: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


def tokenize(text: str) -> list[str]:
    """Split a statement or question into lower-case words, `.` and `?`.

    Args:
        text: The statement or question.

    Returns:
        List of tokens.

    Example:
        >>> tokenize("Where is Mary?")
        ['where', 'is', 'mary', '?']
    """
    return _TOKEN.findall(text.lower())


def answer_words(answer: str) -> list[str]:
    """Split an answer into its lower-case words.

    Args:
        answer: The answer, words separated by commas.

    Returns:
        List of words, empty for an empty answer.

    Example:
        >>> answer_words("football,apple")
        ['football', 'apple']
    """
    return [word.strip().lower() for word in answer.split(",") if word.strip()]


class Vocabulary:
    """A mapping between words and integers.

    Index 0 is padding, index 1 represents every unknown word, and the words follow in
    the given order.

    Args:
        words: The words, each once.

    Attributes:
        words: All words, by index, from `"<padding>"` and `"<unknown>"` on.

    Raises:
        ValueError: A word is not a string, occurs twice, or is `"<padding>"` or
            `"<unknown>"`.

    Example:
        >>> vocabulary = Vocabulary(["mary", "went"])
        >>> vocabulary.encode(["mary", "flew"]), len(vocabulary)
        ([2, 1], 4)
    """

    def __init__(self, words: Iterable[str]) -> None:
        words = _checked_words(words)
        self.words = ["<padding>", "<unknown>", *words]
        self._numbers = {word: number for number, word in enumerate(self.words)}
        if len(self._numbers) != len(self.words):
            raise ValueError(
                "Argument `words` must hold each word once, and neither '<padding>' "
                f"nor '<unknown>'. Received: words={words!r}"
            )

    @classmethod
    def from_stories(cls, stories: Iterable[Story]) -> "Vocabulary":
        """Build the vocabulary of `-`, `_` and the words of all lines and answers.

        Args:
            stories: `Story` objects.

        Returns:
            `Vocabulary`, in alphabetical order.
        """
        words = {ANSWER, BLANK}
        for story in stories:
            for line in story.lines:
                words.update(tokenize(line.text), answer_words(line.answer))
        return cls(sorted(words))

    def encode(self, words: Iterable[str]) -> list[int]:
        """Return the index of each word.

        Args:
            words: Words.

        Returns:
            List of integers, `UNKNOWN` for each word that is not in the vocabulary.
        """
        return [self._numbers.get(word, UNKNOWN) for word in words]

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Return the word at each index.

        Args:
            numbers: Integers from 0 to `len(self) - 1`.

        Returns:
            List of words.
        """
        return [self.words[number] for number in numbers]

    def __len__(self) -> int:
        return len(self.words)


def _checked_words(words: Any) -> list[str]:
    """Return a list of words, or raise a `ValueError`."""
    is_list = isinstance(words, Iterable) and not isinstance(words, str)
    words = list(words) if is_list else words
    if not is_list or not all(isinstance(word, str) for word in words):
        raise ValueError(
            f"Argument `words` must be a list of strings. Received: words={words!r}"
        )
    return words


def encode_story(
    story: Story, vocabulary: Vocabulary, thinking_steps: int = 0
) -> EncodedStory:
    """Encode a story as one sequence of integers.

    Args:
        story: `Story`.
        vocabulary: `Vocabulary`, such as `Vocabulary.from_stories` builds.
        thinking_steps: Number of blanks between each question and its answer, at least
            0. Above 0 the vocabulary must have `_`. Defaults to 0.

    Returns:
        `EncodedStory`.

    Raises:
        ValueError: The story has no line, `thinking_steps` is not an integer of at
            least 0, or the vocabulary lacks the blank.

    Example:
        >>> from keras_dnc.tasks.babi import Line
        >>> lines = (Line("Mary went home."), Line("Where is Mary?", "home", (1,)))
        >>> story = Story(task=1, lines=lines)
        >>> vocabulary = Vocabulary.from_stories([story])
        >>> encoded = encode_story(story, vocabulary)
        >>> " ".join(vocabulary.decode(encoded.tokens))
        'mary went home . where is mary ? -'
        >>> vocabulary.decode(encoded.targets[-1:]), encoded.weights[-1].item()
        (['home'], 1.0)
    """
    if not story.lines:
        raise ValueError(
            f"Argument `story` must have at least one line. Received: story={story!r}"
        )
    check_thinking_steps(thinking_steps, vocabulary)
    tokens, targets, weights = [], [], []
    for line in story.lines:
        words, answer = tokenize(line.text), answer_words(line.answer)
        if answer:
            words = words + [BLANK] * thinking_steps
        tokens += vocabulary.encode(words + [ANSWER] * len(answer))
        targets += [PADDING] * len(words) + vocabulary.encode(answer)
        weights += [0.0] * len(words) + [1.0] * len(answer)
    return EncodedStory(
        task=story.task,
        tokens=np.array(tokens, "int32"),
        targets=np.array(targets, "int32"),
        weights=np.array(weights, "float32"),
    )


def first_questions(story: EncodedStory, count: int) -> EncodedStory:
    """Truncate an encoded story after its first questions, for an easier task.

    Useful as a level of a curriculum.

    Args:
        story: `EncodedStory`.
        count: Number of questions to keep, at least 1.

    Returns:
        `EncodedStory`; the whole story if it has at most `count` questions.

    Raises:
        ValueError: `count` is not a positive integer.

    Example:
        >>> tokens = np.array([3, 4, 5, 4])
        >>> story = EncodedStory(1, tokens, tokens, weights=tokens == 4)
        >>> first_questions(story, 1).tokens.tolist()
        [3, 4]
    """
    check_positive_integers(count=count)
    ends = question_ends(story)
    if len(ends) <= count:
        return story
    parts = (story.tokens, story.targets, story.weights)
    return EncodedStory(story.task, *(part[: ends[count - 1]] for part in parts))


def question_ends(story: EncodedStory) -> np.ndarray:
    """Find where the answers of a story end.

    Args:
        story: `EncodedStory`.

    Returns:
        `(questions,)`, the number of tokens up to and with each answer, ascending.

    Example:
        >>> tokens = np.array([3, 4, 5, 4])
        >>> story = EncodedStory(1, tokens, tokens, weights=tokens == 4)
        >>> question_ends(story).tolist()
        [2, 4]
    """
    is_answer = np.append(story.weights > 0, False)
    return np.flatnonzero(is_answer[:-1] & ~is_answer[1:]) + 1


def check_thinking_steps(thinking_steps: int, vocabulary: Vocabulary) -> None:
    """Raise a `ValueError` unless the vocabulary can encode the thinking steps.

    Args:
        thinking_steps: Number of blanks.
        vocabulary: `Vocabulary`, which must have the blank if there are any.

    Raises:
        ValueError: `thinking_steps` is not an integer of at least 0, or the vocabulary
            lacks the blank.
    """
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
