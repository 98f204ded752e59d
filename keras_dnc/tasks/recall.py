"""Associative recall: see a list of items, then one of them, and give the next."""

import numpy as np

from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers


class AssociativeRecallTask(Task):
    """See a list of items, then one of them again, and give the one that followed.

    An item is a few steps of random bits. With 2 bits, items of 2 steps, 3 items, asked
    for what followed the first (`.` is 0, `#` is 1):

        time              0  1  2  3  4  5  6  7  8  9 10 11 12 13 14
        inputs   bit 0    .  #  #  .  .  #  .  .  #  .  #  #  .  .  .
                 bit 1    .  .  #  .  .  .  .  #  .  .  .  #  .  .  .
                 item     #  .  .  #  .  .  #  .  .  .  .  .  .  .  .
                 query    .  .  .  .  .  .  .  .  .  #  .  .  #  .  .
        targets  bit 0    .  .  .  .  .  .  .  .  .  .  .  .  .  .  #
                 bit 1    .  .  .  .  .  .  .  .  .  .  .  .  .  .  .
        mask              .  .  .  .  .  .  .  .  .  .  .  .  .  #  #

    The items of an episode differ from each other, so that the answer is certain. With
    several queries, the last five steps come again for each, with other items.

    Args:
        num_bits: Bits of an item at each step.
        item_length: Steps of an item.
        min_items: Fewest items, at least 2.
        max_items: Most items.
        num_queries: Questions at the end of an episode. The paper has one; with more,
            an episode of many items teaches more.

    Raises:
        ValueError: A number that is no positive integer, fewer than 2 items, a minimum
            above its maximum, or more items than differ.

    Example:
        >>> import numpy as np
        >>> task = AssociativeRecallTask(num_bits=2, item_length=2, max_items=3)
        >>> batch = task.batch(5, np.random.default_rng(0))
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.shape
        ((5, 15, 4), (5, 15, 2), (5, 15))

    References:
        - Graves et al. 2014, Neural Turing Machines, section 4.3.
        - Rae et al. 2016, Scaling memory-augmented neural networks with sparse reads
          and writes, section 4.2.
    """

    def __init__(
        self,
        num_bits: int = 6,
        item_length: int = 3,
        min_items: int = 2,
        max_items: int = 6,
        num_queries: int = 1,
    ) -> None:
        check_positive_integers(
            num_bits=num_bits, item_length=item_length, num_queries=num_queries
        )
        self._check_range("min_items", min_items, "max_items", max_items)
        if min_items < 2:
            raise ValueError(
                "Argument `min_items` must be at least 2: the last item is never asked "
                f"for. Received: min_items={min_items}"
            )
        if max_items > 2 ** min(num_bits * item_length, 62):
            raise ValueError(
                "Argument `max_items` must be at most 2 ** (num_bits * item_length), "
                "so many items differ. Received: "
                f"max_items={max_items}, {num_bits=}, {item_length=}"
            )
        self.num_bits = num_bits
        self.item_length = item_length
        self.min_items = min_items
        self.max_items = max_items
        self.num_queries = num_queries
        self.observation_size = num_bits + 2
        self.target_size = num_bits
        self.max_time = (max_items + 2 * num_queries) * (item_length + 1)

    def sample(self, rng):
        """Draw items, and which ones to ask for."""
        count = rng.integers(self.min_items, self.max_items + 1)
        asked = rng.integers(count - 1, size=self.num_queries)
        return self.episode(self._items(count, rng), asked)

    def _items(self, count, rng):
        """Draw items that differ; those that repeat are drawn again."""
        shape = (count, self.item_length, self.num_bits)
        items = rng.integers(0, 2, shape)
        while True:
            _, first = np.unique(items.reshape(count, -1), axis=0, return_index=True)
            repeated = np.setdiff1d(np.arange(count), first)
            if not len(repeated):
                return items.astype("float32")
            items[repeated] = rng.integers(0, 2, (len(repeated), *shape[1:]))

    def episode(self, items, asked):
        """Lay items out as an `Episode`.

        Args:
            items: `(items, item_length, num_bits)`, of zeros and ones, at least 2.
            asked: Which items are shown again, `(num_queries,)`; each answer is the one
                that came after it.

        Raises:
            ValueError: Items of another shape, or an item that none follows.
        """
        items, asked = np.asarray(items, "float32"), np.asarray(asked)
        self._check(items, asked)
        # One after the other: a marker, and a pattern under it.
        kinds = np.repeat([0, 1], [len(items), 2 * len(asked)])
        patterns = np.zeros((len(kinds), self.item_length, self.num_bits), "float32")
        patterns[: len(items)] = items
        patterns[len(items) :: 2] = items[asked]
        answers = np.zeros_like(patterns)
        answers[len(items) + 1 :: 2] = items[asked + 1]
        is_answer = np.zeros(len(kinds), bool)
        is_answer[len(items) + 1 :: 2] = True
        inputs = np.zeros(
            (len(kinds), self.item_length + 1, self.observation_size), "float32"
        )
        inputs[:, 1:, : self.num_bits] = patterns
        inputs[np.arange(len(kinds)), 0, self.num_bits + kinds] = 1.0
        return Episode(
            inputs=inputs.reshape(-1, self.observation_size),
            targets=self._after_markers(answers).reshape(-1, self.num_bits),
            mask=self._after_markers(
                np.tile(is_answer[:, None], (1, self.item_length)).astype("float32")
            ).reshape(-1),
        )

    @staticmethod
    def _after_markers(patterns):
        """Put a step of zeros before each pattern, `(patterns, item_length, ...)`."""
        return np.pad(patterns, [(0, 0), (1, 0)] + [(0, 0)] * (patterns.ndim - 2))

    def _check(self, items, asked):
        shape = (self.item_length, self.num_bits)
        if items.ndim != 3 or len(items) < 2 or items.shape[1:] != shape:
            raise ValueError(
                f"Argument `items` must have shape (items, {shape[0]}, {shape[1]}), at "
                f"least 2 items. Received: items of shape {items.shape}"
            )
        in_range = asked.ndim == 1 and len(asked) == self.num_queries
        if not in_range or asked.min() < 0 or asked.max() > len(items) - 2:
            raise ValueError(
                f"Argument `asked` must be {self.num_queries} numbers from 0 to "
                f"{len(items) - 2}, so that an item follows. Received: asked={asked}"
            )
