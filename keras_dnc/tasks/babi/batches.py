"""Batches of stories or questions of similar length."""

import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import random_seed
from keras_dnc.arguments import switch
from keras_dnc.tasks.babi.encoding import UNKNOWN
from keras_dnc.tasks.babi.encoding import EncodedStory
from keras_dnc.tasks.babi.encoding import question_ends
from keras_dnc.tasks.babi.questions import EncodedQuestion

_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
_MAX_RATIO = 0.85  # of a bucket's length to the next longer one's: fewer compilations


class BucketedBatches(keras.utils.PyDataset):
    """Batches of examples of similar length, for `model.fit`.

    Each example goes to the shortest bucket that holds it and is padded to the length
    of that bucket. Little computation is spent on padding, and a compiled model is
    compiled once per bucket. The last batch of a bucket is filled up with empty rows of
    weight 0.

    A subclass overrides `length_of` and `pad`.

    Args:
        examples: List of examples.
        batch_size: Number of rows in a batch.
        buckets: Lengths to pad to, in ascending order, the last one at least that of
            the longest example. Defaults to `None`, for up to seven quantiles of the
            lengths, each at most 0.85 of the next.
        shuffle: Whether to draw a new order of examples and batches in each epoch.
            Defaults to `False`.
        seed: Seed of the orders; the same seed gives the same orders. An integer from 0
            to 2^32 - 1. Defaults to 0.
        **kwargs: Keyword arguments of `keras.utils.PyDataset`: `workers`,
            `use_multiprocessing` and `max_queue_size`.

    Raises:
        ValueError: `examples` is empty, `batch_size` is not a positive integer,
            `buckets` do not ascend to the length of the longest example, `shuffle` is
            not a bool, or `seed` is out of range.

    Example:
        >>> class Rows(BucketedBatches):
        ...     def length_of(self, example):
        ...         return len(example)
        ...
        ...     def pad(self, examples, length):
        ...         rows = np.zeros((self.batch_size, length))
        ...         for row, example in zip(rows, examples):
        ...             row[: len(example)] = example
        ...         return rows
        >>> batches = Rows([[1], [2, 2], [3, 3, 3]], batch_size=2, buckets=(2, 4))
        >>> [batches[index].shape for index in range(len(batches))]
        [(2, 2), (2, 4)]
    """

    holds: str = "examples"
    example_type: type = object

    def __init__(
        self,
        examples: Sequence[Any],
        batch_size: int,
        buckets: Sequence[int] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.examples = checked_examples(self.holds, examples, self.example_type)
        self.batch_size = positive_integer("batch_size", batch_size)
        self.shuffle = switch("shuffle", shuffle)
        self.seed = random_seed("seed", seed)
        self._lengths = np.array([self.length_of(example) for example in self.examples])
        longest = self._lengths.max()
        if buckets is None:
            buckets = _default_buckets(self.lengths_to_pad())
        self.buckets = _checked_buckets(buckets, longest)
        self.epoch = 0

    def lengths_to_pad(self) -> np.ndarray:
        """Return the lengths that `buckets=None` chooses quantiles of.

        Returns:
            `(examples,)`, integers. By default, the lengths of the examples.
        """
        return self._lengths

    def like(self, examples: Sequence[Any]) -> "BucketedBatches":
        """Build batches of other examples with the same buckets, without shuffling.

        Use it for validation data: a compiled model meets few new shapes, one more if
        an example is longer than all buckets.

        Args:
            examples: List of examples.

        Returns:
            Batches of the same class and batch size.

        Raises:
            ValueError: `examples` is empty.
        """
        longest = max(map(self.length_of, examples), default=0)
        more = (longest,) if longest > self.buckets[-1] else ()
        buckets = (*self.buckets, *more)
        return type(self)(examples, self.batch_size, buckets=buckets)

    def length_of(self, example: Any) -> int:
        """Return the length that determines the bucket of an example.

        Args:
            example: One of `examples`.

        Returns:
            The length, at least 0.
        """
        raise NotImplementedError

    def pad(self, examples: Sequence[Any], length: int) -> Any:
        """Build a batch of `batch_size` rows, padded to `length`.

        Args:
            examples: At most `batch_size` examples; further rows are empty.
            length: Length of the bucket.

        Returns:
            A batch for `model.fit`.
        """
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        length, numbers = self._batches[index]
        return self.pad([self.example(number) for number in numbers], length)

    def example(self, number: int) -> Any:
        """Return an example.

        Args:
            number: Its index.
        """
        return self.examples[number]

    @property
    def epoch(self) -> int:
        """Index of the epoch, which with `seed` determines the order."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._batches = self._draw_batches()

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self.epoch += 1

    def _draw_batches(self) -> list[tuple[int, np.ndarray]]:
        """List `(bucket length, indices of the examples)` for each batch."""
        rng = np.random.default_rng([self.seed, self.epoch])
        bucket_of = np.searchsorted(self.buckets, self._lengths)
        batches: list[tuple[int, np.ndarray]] = []
        for bucket, length in enumerate(self.buckets):
            numbers = np.flatnonzero(bucket_of == bucket)
            if self.shuffle:
                rng.shuffle(numbers)
            starts = range(0, len(numbers), self.batch_size)
            batches += [(length, numbers[s : s + self.batch_size]) for s in starts]
        if self.shuffle:
            rng.shuffle(batches)
        return with_two_lengths_first(batches)


class StoryBatches(BucketedBatches):
    """Batches `(tokens, targets, weights)` of stories of similar length.

    Each of the three is `(batch, time)`, where `time` is the length of a bucket. The
    last batch of a bucket is filled up with rows of weight 0.

    Args:
        stories: List of `EncodedStory`.
        batch_size: Number of stories in a batch.
        **kwargs: `buckets`, ascending numbers of tokens to pad to, which defaults to
            `None`, for quantiles of the lengths; `shuffle`, whether to draw a new order
            in each epoch, which defaults to `False`; `seed` of the orders, which
            defaults to 0; and keyword arguments of `keras.utils.PyDataset`.

    Raises:
        ValueError: `stories` is empty or not of `EncodedStory`, `batch_size` is not a
            positive integer, `buckets` do not ascend to the length of the longest
            story, `shuffle` is not a bool, or `seed` is out of range.

    Example:
        >>> from keras_dnc.tasks.babi import EncodedStory
        >>> story = EncodedStory(1, *np.ones((3, 5), "int32"))
        >>> batches = StoryBatches([story] * 3, batch_size=2, buckets=(8,))
        >>> len(batches), batches[0][0].shape
        (2, (2, 8))
    """

    holds = "stories"
    example_type = EncodedStory

    def __init__(
        self, stories: Sequence[EncodedStory], batch_size: int, **kwargs: Any
    ) -> None:
        super().__init__(stories, batch_size, **kwargs)

    def length_of(self, example: EncodedStory) -> int:
        """Return the number of tokens of a story.

        Args:
            example: `EncodedStory`.

        Returns:
            Number of tokens.
        """
        return len(example.tokens)

    def pad(
        self, examples: Sequence[EncodedStory], length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Build a batch of stories, padded with zeros at the end.

        Args:
            examples: At most `batch_size` of `EncodedStory`; further rows are zeros.
            length: Number of tokens to pad to.

        Returns:
            `(tokens, targets, weights)`, each `(batch_size, length)`.
        """
        tokens = np.zeros((self.batch_size, length), "int32")
        targets = np.zeros((self.batch_size, length), "int32")
        weights = np.zeros((self.batch_size, length), "float32")
        for row, story in enumerate(examples):
            time = len(story.tokens)
            tokens[row, :time] = story.tokens
            targets[row, :time] = story.targets
            weights[row, :time] = story.weights
        return tokens, targets, weights

    def wrong_answers(
        self, index: int, outputs: npt.ArrayLike
    ) -> list[tuple[EncodedStory, np.ndarray]]:
        """Judge the answers of a model to the questions of a batch.

        An answer is wrong if one of its words is, or is unknown to the vocabulary.

        Args:
            index: Index of the batch.
            outputs: Outputs of the model, `(batch, time, words)`, the highest for the
                word it answers.

        Returns:
            List of one pair per story: the story, and `(questions,)`, bool, true where
            the answer is wrong.
        """
        words = np.argmax(np.asarray(outputs), axis=-1)
        judged = []
        for row, number in enumerate(self._batches[index][1]):
            story = self.example(number)
            is_wrong = words[row, : len(story.targets)] != story.targets
            is_wrong |= story.targets == UNKNOWN
            is_wrong &= story.weights > 0
            answers = np.split(is_wrong, question_ends(story))[:-1]
            judged.append((story, np.array([part.any() for part in answers], bool)))
        return judged


class QuestionBatches(BucketedBatches):
    """Batches of questions with a similar number of sentences.

    A batch is `({"sentences", "question"}, answers, weights)`, with the shapes
    `(batch, sentences, words)`, `(batch, words)`, `(batch,)` and `(batch,)`. The number
    of sentences is that of a bucket. The last batch of a bucket is filled up with rows
    of weight 0.

    Args:
        questions: List of `EncodedQuestion`.
        batch_size: Number of questions in a batch.
        **kwargs: `buckets`, ascending numbers of sentences to pad to, which defaults to
            `None`, for quantiles of the numbers; `shuffle`, whether to draw a new order
            in each epoch, which defaults to `False`; `seed` of the orders, which
            defaults to 0; and keyword arguments of `keras.utils.PyDataset`.

    Raises:
        ValueError: `questions` is empty or not of `EncodedQuestion`, `batch_size` is
            not a positive integer, `buckets` do not ascend to the greatest number of
            sentences, `shuffle` is not a bool, or `seed` is out of range.

    Example:
        >>> from keras_dnc.tasks.babi import EncodedQuestion
        >>> sentences = np.ones((5, 4), "int32")
        >>> question = EncodedQuestion(1, sentences, sentences[0], answer=2)
        >>> batches = QuestionBatches([question] * 3, batch_size=2, buckets=(8,))
        >>> inputs, answers, weights = batches[1]
        >>> inputs["sentences"].shape, inputs["question"].shape, weights.tolist()
        ((2, 8, 4), (2, 4), [1.0, 0.0])
    """

    holds = "questions"
    example_type = EncodedQuestion

    def __init__(
        self, questions: Sequence[EncodedQuestion], batch_size: int, **kwargs: Any
    ) -> None:
        super().__init__(questions, batch_size, **kwargs)
        self._words = max(one.sentences.shape[1] for one in self.examples)
        self._question_words = max(len(one.question) for one in self.examples)

    def length_of(self, example: EncodedQuestion) -> int:
        """Return the number of sentences of a question.

        Args:
            example: `EncodedQuestion`.

        Returns:
            Number of sentences.
        """
        return len(example.sentences)

    def pad(
        self, examples: Sequence[EncodedQuestion], length: int
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Build a batch of questions, padded with zeros at the end.

        Args:
            examples: At most `batch_size` of `EncodedQuestion`; further rows are zeros.
            length: Number of sentences to pad to.

        Returns:
            `({"sentences", "question"}, answers, weights)`, with the shapes
            `(batch_size, length, words)`, `(batch_size, words)`, `(batch_size,)` and
            `(batch_size,)`. A weight is 1 for a question, 0 for an empty row.
        """
        sentences = np.zeros((self.batch_size, length, self._words), "int32")
        question = np.zeros((self.batch_size, self._question_words), "int32")
        answers = np.zeros(self.batch_size, "int32")
        weights = np.zeros(self.batch_size, "float32")
        for row, one in enumerate(examples):
            count, words = one.sentences.shape
            sentences[row, :count, :words] = one.sentences
            question[row, : len(one.question)] = one.question
            answers[row] = one.answer
            weights[row] = 1.0
        return {"sentences": sentences, "question": question}, answers, weights


def with_two_lengths_first(
    batches: list[tuple[int, np.ndarray]],
) -> list[tuple[int, np.ndarray]]:
    """Move a batch of another length than the first, if any, to the second position.

    Keras treats an axis as static if its size is equal in the first two batches.

    Args:
        batches: List of pairs of the length of a batch and the indices of its examples.

    Returns:
        The list.
    """
    first = batches[0][0]
    other = next((i for i, (length, _) in enumerate(batches) if length != first), None)
    if other is not None:
        batches.insert(1, batches.pop(other))
    return batches


def checked_examples(name: str, examples: Any, kind: type) -> list[Any]:
    """Return examples as a list, or raise an error.

    Args:
        name: Name of the argument, for the error message.
        examples: Value of the argument.
        kind: Class of each example.

    Returns:
        The list.

    Raises:
        ValueError: There are no examples, or one is not of this class.
    """
    is_list = isinstance(examples, Iterable)
    found = list(examples) if is_list else [examples]
    if not found:
        raise ValueError(f"Argument `{name}` must not be empty. Received: []")
    wrong = [example for example in found if not isinstance(example, kind)]
    if wrong or not is_list:
        raise ValueError(
            f"Argument `{name}` must be a list of `{kind.__name__}`. "
            f"Received: {reprlib.repr(wrong or examples)}"
        )
    return found


def _checked_buckets(buckets: Any, longest: int) -> tuple[int, ...]:
    """Return buckets that ascend and hold the longest example, or raise an error."""
    given = buckets if isinstance(buckets, Iterable) else ()
    lengths = tuple(positive_integer("buckets", length) for length in given)
    ascend = list(lengths) == sorted(set(lengths))
    if not lengths or not ascend or longest > lengths[-1]:
        raise ValueError(
            "Argument `buckets` must be lengths that ascend, the last at or above the "
            f"longest example. Received: buckets={buckets!r}, an example of {longest}"
        )
    return lengths


def _default_buckets(lengths: np.ndarray) -> list[int]:
    """Choose quantiles of the lengths, without those close to the next longer one.

    For a close one, padding costs less than another compilation.
    """
    buckets = [int(lengths.max())]
    for length in np.quantile(lengths, _QUANTILES, method="lower")[::-1]:
        if length <= _MAX_RATIO * buckets[0]:
            buckets.insert(0, int(length))
    return buckets
