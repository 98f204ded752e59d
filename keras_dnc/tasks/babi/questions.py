"""Questions one by one, each with its story's sentences, as Sukhbaatar et al. 2015.

A question stands with the statements before it; full stops and question marks are left
out, and an answer of several words is one word, such as `football,apple`:

    sentences  mary went to the kitchen
               sandra took the milk
    question   where is mary
    answer     kitchen
"""

from typing import NamedTuple

import numpy as np

from keras_dnc.tasks.babi.encoding import PADDING
from keras_dnc.tasks.babi.encoding import Vocabulary
from keras_dnc.tasks.babi.encoding import answer_words
from keras_dnc.tasks.babi.encoding import tokenize
from keras_dnc.tasks.task import check_positive_integers


class EncodedQuestion(NamedTuple):
    """A question in numbers.

    Attributes:
        task: 1 to 20.
        sentences: `(sentences, words)`, int32, oldest first, `PADDING` after the words
            of each.
        question: `(words,)`, int32.
        answer: The number of the answer.
    """

    task: int
    sentences: np.ndarray
    question: np.ndarray
    answer: int


def words_of(text):
    """Cut a statement or question into lower-case words.

    Example:
        >>> words_of("Where is Mary?")
        ['where', 'is', 'mary']
    """
    return [token for token in tokenize(text) if token not in ".?"]


def whole_answer(text):
    """Write an answer of one or more words as one word.

    Example:
        >>> whole_answer("Football, apple")
        'football,apple'
    """
    return ",".join(answer_words(text))


def question_vocabulary(stories):
    """Take the words of all lines, and the whole answers, in alphabetical order.

    Args:
        stories: List of `Story`.

    Returns:
        `Vocabulary`.
    """
    words = set()
    for story in stories:
        for line in story.lines:
            words.update(words_of(line.text))
            if line.answer:
                words.add(whole_answer(line.answer))
    return Vocabulary(sorted(words))


def encode_questions(story, vocabulary, memory_size=None):
    """Write each question of a story in numbers, with the statements before it.

    Args:
        story: `Story`.
        vocabulary: `Vocabulary`, as of `question_vocabulary`.
        memory_size: How many statements are kept, the newest; `None` for all.

    Returns:
        List of `EncodedQuestion`, one for each question.

    Raises:
        ValueError: `memory_size` is no positive integer.
    """
    if memory_size is not None:
        check_positive_integers(memory_size=memory_size)
    said, questions = [], []
    for line in story.lines:
        words = vocabulary.encode(words_of(line.text))
        if not line.answer:
            said.append(words)
            continue
        kept = said if memory_size is None else said[-memory_size:]
        answer = vocabulary.encode([whole_answer(line.answer)])[0]
        question = np.array(words, "int32")
        questions.append(
            EncodedQuestion(story.task, pad_sentences(kept), question, answer)
        )
    return questions


def pad_sentences(sentences):
    """Write lists of numbers as one array, `(sentences, words)`, padded at the end."""
    longest = max(map(len, sentences), default=0)
    padded = np.full((len(sentences), longest), PADDING, "int32")
    for row, words in zip(padded, sentences, strict=True):
        row[: len(words)] = words
    return padded
