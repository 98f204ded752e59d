"""Associative recall: read a list of items, then one of them, and output the next."""

import numpy as np
import numpy.typing as npt

from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers


class AssociativeRecallTask(Task):
    """Read a list of items, then one of them again, and output the item after it.

    An item is a few steps of random bits. With 2 bits, items of 2 steps, 3 items, and a
    query for the item after the first (`.` is 0, `#` is 1):

        time              0  1  2  3  4  5  6  7  8  9 10 11 12 13 14
        inputs   bit 0    .  #  #  .  .  #  .  .  #  .  #  #  .  .  .
                 bit 1    .  .  #  .  .  .  .  #  .  .  .  #  .  .  .
                 item     #  .  .  #  .  .  #  .  .  .  .  .  .  .  .
                 query    .  .  .  .  .  .  .  .  .  #  .  .  #  .  .
        targets  bit 0    .  .  .  .  .  .  .  .  .  .  .  .  .  .  #
                 bit 1    .  .  .  .  .  .  .  .  .  .  .  .  .  .  .
        mask              .  .  .  .  .  .  .  .  .  .  .  .  .  #  #

    The items of an episode differ from each other, so that the answer is unique. Each
    further query repeats the last six steps with another item.

    Args:
        num_bits: Number of bits in an item at each step. Defaults to 6.
        item_length: Number of steps in an item. Defaults to 3.
        min_items: Minimum number of items, at least 2. Defaults to 2.
        max_items: Maximum number of items. Defaults to 6.
        num_queries: Number of queries at the end of an episode. The paper has one; more
            give more training signal per episode. Defaults to 1.

    Raises:
        ValueError: An argument is not a positive integer, `min_items` is below 2 or
            above `max_items`, or `max_items` is more than the number of different
            items.

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

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw the items and the queries.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode`.
        """
        count = int(rng.integers(self.min_items, self.max_items + 1))
        asked = rng.integers(count - 1, size=self.num_queries)
        return self.episode(self._draw_items(count, rng), asked)

    def _draw_items(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw items that all differ, drawing duplicates again."""
        shape = (count, self.item_length, self.num_bits)
        items = rng.integers(0, 2, shape)
        while True:
            _, first = np.unique(items.reshape(count, -1), axis=0, return_index=True)
            repeated = np.setdiff1d(np.arange(count), first)
            if not len(repeated):
                return items.astype("float32")
            items[repeated] = rng.integers(0, 2, (len(repeated), *shape[1:]))

    def episode(self, items: npt.ArrayLike, asked: npt.ArrayLike) -> Episode:
        """Build the episode of given items and queries.

        Args:
            items: `(items, item_length, num_bits)`, zeros and ones, at least 2 items.
            asked: `(num_queries,)`, the index of the item that each query shows. The
                answer is the item after it.

        Returns:
            `Episode`.

        Raises:
            ValueError: An argument has another shape, or a query shows an item that is
                the last or does not exist.
        """
        items, asked = np.asarray(items, "float32"), np.asarray(asked)
        self._check_episode(items, asked)
        # A segment is a marker followed by a pattern: the items, then, for each query,
        # the item shown and the blank in which it is answered.
        count, segments = len(items), len(items) + 2 * len(asked)
        patterns = np.zeros((segments, self.item_length, self.num_bits), "float32")
        patterns[:count] = items
        patterns[count::2] = items[asked]
        answers = np.zeros_like(patterns)
        answers[count + 1 :: 2] = items[asked + 1]
        mask = np.zeros((segments, self.item_length), "float32")
        mask[count + 1 :: 2] = 1.0
        return Episode(
            inputs=self._with_markers(patterns, count),
            targets=self._after_markers(answers).reshape(-1, self.num_bits),
            mask=self._after_markers(mask).reshape(-1),
        )

    def _with_markers(self, patterns: np.ndarray, count: int) -> np.ndarray:
        """Put an item marker before the first `count` patterns, else a query marker."""
        is_query = (np.arange(len(patterns)) >= count).astype(int)
        inputs = np.zeros(
            (len(patterns), self.item_length + 1, self.observation_size), "float32"
        )
        inputs[:, 1:, : self.num_bits] = patterns
        inputs[np.arange(len(patterns)), 0, self.num_bits + is_query] = 1.0
        return inputs.reshape(-1, self.observation_size)

    @staticmethod
    def _after_markers(patterns: np.ndarray) -> np.ndarray:
        """Put a step of zeros before each pattern, `(patterns, item_length, ...)`."""
        return np.pad(patterns, [(0, 0), (1, 0)] + [(0, 0)] * (patterns.ndim - 2))

    def _check_episode(self, items: np.ndarray, asked: np.ndarray) -> None:
        """Raise a `ValueError` unless an episode can be built from the arguments."""
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
