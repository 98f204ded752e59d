"""Questions with the sentences of their story (the format of Sukhbaatar et al. 2015).

A question comes with all statements before it in the story. Full stops and question
marks are removed, and an answer of several words, such as `football,apple`, counts as
one word:

    sentences  mary went to the kitchen
               sandra took the milk
    question   where is mary
    answer     kitchen
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from keras_dnc.tasks.babi.encoding import PADDING
from keras_dnc.tasks.babi.encoding import Vocabulary
from keras_dnc.tasks.babi.encoding import answer_words
from keras_dnc.tasks.babi.encoding import tokenize
from keras_dnc.tasks.babi.source import Story
from keras_dnc.tasks.task import check_positive_integers


class EncodedQuestion(NamedTuple):
    """A question with its sentences, words encoded as integers.

    Attributes:
        task: Number of the task, 1 to 20.
        sentences: `(sentences, words)`, int32, the oldest first. Each row is padded at
            the end with `PADDING`.
        question: `(words,)`, int32.
        answer: Index of the answer in the vocabulary.

    Example:
        >>> sentences = pad_sentences([[2, 3], [2, 3, 4]])
        >>> question = EncodedQuestion(1, sentences, np.array([5, 2]), answer=4)
        >>> question.sentences.shape
        (2, 3)
    """

    task: int
    sentences: np.ndarray
    question: np.ndarray
    answer: int


def words_of(text: str) -> list[str]:
    """Split a statement or question into lower-case words, without punctuation.

    Args:
        text: The statement or question.

    Returns:
        List of words.

    Example:
        >>> words_of("Where is Mary?")
        ['where', 'is', 'mary']
    """
    return [token for token in tokenize(text) if token not in ".?"]


def whole_answer(text: str) -> str:
    """Join an answer of one or more words into one lower-case word.

    Args:
        text: The answer, words separated by commas.

    Returns:
        The words, joined by commas.

    Example:
        >>> whole_answer("Football, apple")
        'football,apple'
    """
    return ",".join(answer_words(text))


def question_vocabulary(stories: Iterable[Story]) -> Vocabulary:
    """Build the vocabulary of all words of all lines and of all whole answers.

    Args:
        stories: `Story` objects.

    Returns:
        `Vocabulary`, in alphabetical order.

    Example:
        >>> from keras_dnc.tasks.babi import Line
        >>> story = Story(8, (Line("What is he carrying?", "milk,apple"),))
        >>> question_vocabulary([story]).words[2:]
        ['carrying', 'he', 'is', 'milk,apple', 'what']
    """
    words = set()
    for story in stories:
        for line in story.lines:
            words.update(words_of(line.text))
            if line.answer:
                words.add(whole_answer(line.answer))
    return Vocabulary(sorted(words))


def encode_questions(
    story: Story, vocabulary: Vocabulary, memory_size: int | None = None
) -> list[EncodedQuestion]:
    """Encode each question of a story as integers, with the statements before it.

    Args:
        story: `Story`.
        vocabulary: `Vocabulary` of words and whole answers, such as
            `question_vocabulary` builds.
        memory_size: Maximum number of statements to keep, the newest ones. Defaults to
            `None`, for all.

    Returns:
        List of `EncodedQuestion`, one for each question.

    Raises:
        ValueError: `memory_size` is not a positive integer or `None`.

    Example:
        >>> from keras_dnc.tasks.babi import Line
        >>> lines = (Line("Mary went home."), Line("Where is Mary?", "home", (1,)))
        >>> story = Story(task=1, lines=lines)
        >>> vocabulary = question_vocabulary([story])
        >>> (question,) = encode_questions(story, vocabulary)
        >>> vocabulary.decode(question.sentences[0]), vocabulary.words[question.answer]
        (['mary', 'went', 'home'], 'home')
    """
    if memory_size is not None:
        check_positive_integers(memory_size=memory_size)
    statements: list[list[int]] = []
    questions = []
    for line in story.lines:
        words = vocabulary.encode(words_of(line.text))
        if not line.answer:
            statements.append(words)
            continue
        kept = statements if memory_size is None else statements[-memory_size:]
        answer = vocabulary.encode([whole_answer(line.answer)])[0]
        question = np.array(words, "int32")
        questions.append(
            EncodedQuestion(story.task, pad_sentences(kept), question, answer)
        )
    return questions


def pad_sentences(sentences: Sequence[Sequence[int]]) -> np.ndarray:
    """Stack encoded sentences into one array, padded at the end with `PADDING`.

    Args:
        sentences: Sequences of integers.

    Returns:
        `(sentences, words)`, int32, where `words` is the length of the longest one.

    Example:
        >>> pad_sentences([[2, 3], [4]]).tolist()
        [[2, 3], [4, 0]]
    """
    longest = max(map(len, sentences), default=0)
    padded = np.full((len(sentences), longest), PADDING, "int32")
    for row, words in zip(padded, sentences, strict=True):
        row[: len(words)] = words
    return padded
