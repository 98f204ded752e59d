"""Batches of stories, or of questions, of like length."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_dnc.tasks.task import check_positive_integers

_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
_APART = 0.85  # a bucket's length, beside that of the next longer one, at most


class BucketedBatches(keras.utils.PyDataset):
    """Batches of examples of like length, for `model.fit`.

    An example goes to the shortest bucket that holds it and is padded to its length, so
    that little is computed for nothing, and a compiled model is compiled once for each
    bucket. A bucket's last batch is filled up with empty rows of weight 0.

    A subclass says what an example's length is and how a batch is padded.

    Args:
        examples: List of examples.
        batch_size: Examples in a batch.
        buckets: Lengths to pad to, ascending; `None` for up to seven quantiles of the
            examples' own lengths, each at most 0.85 of the next.
        shuffle: Whether examples and batches are drawn in a new order each epoch.
        seed: The same seed gives the same orders.
        **kwargs: As in `keras.utils.PyDataset`.

    Raises:
        ValueError: No examples, a batch size that is no positive integer, or buckets
            that do not ascend to one that holds the longest example.
    """

    holds = "examples"

    def __init__(
        self,
        examples,
        batch_size: int,
        buckets: Sequence[int] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.examples = list(examples)
        if not self.examples:
            raise ValueError(f"Argument `{self.holds}` must not be empty. Received: []")
        check_positive_integers(batch_size=batch_size)
        self._lengths = np.array([self.length_of(example) for example in self.examples])
        longest = self._lengths.max()
        if buckets is None:
            buckets = _default_buckets(self._lengths)
        self.buckets = tuple(buckets)
        _check_buckets(self.buckets, longest)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self._batches = self._draw_batches()

    def like(self, examples):
        """Give batches of other examples in the same buckets, in their own order.

        A compiled model meets few new shapes in them: one more if an example is longer.

        Args:
            examples: List of examples.
        """
        longest = max(map(self.length_of, examples), default=0)
        more = (longest,) if longest > self.buckets[-1] else ()
        buckets = (*self.buckets, *more)
        return type(self)(examples, self.batch_size, buckets=buckets)

    def length_of(self, example):
        """Give the length that decides an example's bucket."""
        raise NotImplementedError

    def pad(self, examples, length):
        """Give a batch of `batch_size` rows, padded to `length`, for `model.fit`."""
        raise NotImplementedError

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        length, numbers = self._batches[index]
        return self.pad([self.examples[number] for number in numbers], length)

    def on_epoch_end(self):
        """Draw a new order."""
        self.epoch += 1
        self._batches = self._draw_batches()

    def _draw_batches(self):
        """List `(bucket length, numbers of the batch's examples)`."""
        rng = np.random.default_rng([self.seed, self.epoch])
        bucket_of = np.searchsorted(self.buckets, self._lengths)
        batches = []
        for bucket, length in enumerate(self.buckets):
            numbers = np.flatnonzero(bucket_of == bucket)
            if self.shuffle:
                rng.shuffle(numbers)
            starts = range(0, len(numbers), self.batch_size)
            batches += [(length, numbers[s : s + self.batch_size]) for s in starts]
        if self.shuffle:
            rng.shuffle(batches)
        return _with_two_lengths_first(batches)


class StoryBatches(BucketedBatches):
    """Batches `(tokens, targets, weights)` of stories, bucketed by their tokens.

    Args:
        stories: List of `EncodedStory`.
        batch_size: Stories in a batch.
        **kwargs: As in `BucketedBatches`: `buckets`, `shuffle`, `seed`; and in
            `keras.utils.PyDataset`.

    Raises:
        ValueError: As in `BucketedBatches`.

    Example:
        >>> from keras_dnc.tasks.babi import EncodedStory
        >>> story = EncodedStory(1, *np.ones((3, 5), "int32"))
        >>> batches = StoryBatches([story] * 3, batch_size=2, buckets=(8,))
        >>> len(batches), batches[0][0].shape
        (2, (2, 8))
    """

    holds = "stories"

    def __init__(self, stories, batch_size: int, **kwargs: Any) -> None:
        super().__init__(stories, batch_size, **kwargs)

    def length_of(self, example):
        """Give the number of tokens."""
        return len(example.tokens)

    def pad(self, examples, length):
        """Give tokens, targets and weights, each `(batch_size, length)`."""
        tokens = np.zeros((self.batch_size, length), "int32")
        targets = np.zeros((self.batch_size, length), "int32")
        weights = np.zeros((self.batch_size, length), "float32")
        for row, story in enumerate(examples):
            time = len(story.tokens)
            tokens[row, :time] = story.tokens
            targets[row, :time] = story.targets
            weights[row, :time] = story.weights
        return tokens, targets, weights


class QuestionBatches(BucketedBatches):
    """Batches of questions, each with its sentences, bucketed by their number.

    A batch is `({"sentences", "question"}, answers, weights)`, of shapes
    `(batch, sentences, words)`, `(batch, words)`, `(batch,)` and `(batch,)`.

    Args:
        questions: List of `EncodedQuestion`.
        batch_size: Questions in a batch.
        **kwargs: As in `BucketedBatches`: `buckets`, `shuffle`, `seed`; and in
            `keras.utils.PyDataset`.

    Raises:
        ValueError: As in `BucketedBatches`.

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

    def __init__(self, questions, batch_size: int, **kwargs: Any) -> None:
        super().__init__(questions, batch_size, **kwargs)
        self._words = max(one.sentences.shape[1] for one in self.examples)
        self._question_words = max(len(one.question) for one in self.examples)

    def length_of(self, example):
        """Give the number of sentences."""
        return len(example.sentences)

    def pad(self, examples, length):
        """Give sentences and questions, answers, and weights."""
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


def _with_two_lengths_first(batches):
    """Let the second batch be of another length than the first, where one is.

    Keras takes an axis to have one size if it has in the first two batches.
    """
    first = batches[0][0]
    other = next((i for i, (length, _) in enumerate(batches) if length != first), None)
    if other is not None:
        batches.insert(1, batches.pop(other))
    return batches


def _check_buckets(buckets, longest):
    if not buckets or list(buckets) != sorted(set(buckets)) or longest > buckets[-1]:
        raise ValueError(
            "Argument `buckets` must be lengths that ascend, the last at or above the "
            f"longest example. Received: buckets={buckets}, an example of {longest}"
        )


def _default_buckets(lengths):
    """Quantiles of the lengths, but those so close that padding costs less than XLA."""
    buckets = [int(lengths.max())]
    for length in np.quantile(lengths, _QUANTILES, method="lower")[::-1]:
        if length <= _APART * buckets[0]:
            buckets.insert(0, int(length))
    return buckets
