"""Batches of stories of like length."""

import keras
import numpy as np

from keras_dnc.tasks.task import check_positive_integers


class StoryBatches(keras.utils.PyDataset):
    """Batches `(tokens, targets, weights)` for `model.fit`, bucketed by length.

    A story goes to the shortest bucket that holds it and is padded to its length, so
    that little is computed for nothing, and a compiled model is compiled once for each
    bucket. A bucket's last batch is filled up with empty rows of weight 0.

    Args:
        stories: List of `EncodedStory`.
        batch_size: Stories in a batch.
        buckets: Lengths to pad to, ascending; `None` for powers of two up to the
            longest story, and 1.5 times each.
        shuffle: Whether stories and batches are drawn in a new order each epoch.
        seed: The same seed gives the same orders.
        **kwargs: As in `keras.utils.PyDataset`.

    Raises:
        ValueError: No stories, a batch size that is no positive integer, or buckets
            that do not ascend to one that holds the longest story.

    Example:
        >>> from keras_dnc.tasks.babi import EncodedStory
        >>> story = EncodedStory(1, *np.ones((3, 5), "int32"))
        >>> batches = StoryBatches([story] * 3, batch_size=2, buckets=(8,))
        >>> len(batches), batches[0][0].shape
        (2, (2, 8))
    """

    def __init__(
        self, stories, batch_size, buckets=None, shuffle=False, seed=0, **kwargs
    ):
        super().__init__(**kwargs)
        self.stories = list(stories)
        if not self.stories:
            raise ValueError("Argument `stories` must hold a story. Received: none")
        check_positive_integers(batch_size=batch_size)
        longest = max(len(story.tokens) for story in self.stories)
        self.buckets = _default_buckets(longest) if buckets is None else tuple(buckets)
        _check_buckets(self.buckets, longest)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self._batches = self._draw_batches()

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        length, numbers = self._batches[index]
        tokens = np.zeros((self.batch_size, length), "int32")
        targets = np.zeros((self.batch_size, length), "int32")
        weights = np.zeros((self.batch_size, length), "float32")
        for row, number in enumerate(numbers):
            story = self.stories[number]
            time = len(story.tokens)
            tokens[row, :time] = story.tokens
            targets[row, :time] = story.targets
            weights[row, :time] = story.weights
        return tokens, targets, weights

    def on_epoch_end(self):
        """Draw a new order."""
        self.epoch += 1
        self._batches = self._draw_batches()

    def _draw_batches(self):
        """List `(bucket length, numbers of the batch's stories)`."""
        rng = np.random.default_rng([self.seed, self.epoch])
        lengths = np.array([len(story.tokens) for story in self.stories])
        bucket_of = np.searchsorted(self.buckets, lengths)
        batches = []
        for bucket, length in enumerate(self.buckets):
            numbers = np.flatnonzero(bucket_of == bucket)
            if self.shuffle:
                rng.shuffle(numbers)
            starts = range(0, len(numbers), self.batch_size)
            batches += [(length, numbers[s : s + self.batch_size]) for s in starts]
        if self.shuffle:
            rng.shuffle(batches)
        return batches


def _check_buckets(buckets, longest):
    if not buckets or list(buckets) != sorted(set(buckets)) or longest > buckets[-1]:
        raise ValueError(
            "Argument `buckets` must be lengths that ascend, the last at or above the "
            f"longest story. Received: buckets={buckets}, a story of {longest} tokens"
        )


def _default_buckets(longest):
    """Powers of two from 32, and 1.5 times each, until one holds `longest`."""
    buckets, length = [], 32
    while not buckets or buckets[-1] < longest:
        buckets += [length, length * 3 // 2]
        length *= 2
    return tuple(buckets if buckets[-2] < longest else buckets[:-1])
