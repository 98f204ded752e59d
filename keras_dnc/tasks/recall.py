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

    The items of an episode differ from each other, so that the answer is certain.

    Args:
        num_bits: Bits of an item at each step.
        item_length: Steps of an item.
        min_items: Fewest items, at least 2.
        max_items: Most items.

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

    def __init__(self, num_bits=6, item_length=3, min_items=2, max_items=6):
        check_positive_integers(num_bits=num_bits, item_length=item_length)
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
        self.observation_size = num_bits + 2
        self.target_size = num_bits
        self.max_time = self._time(max_items)

    def _time(self, items):
        return (items + 1) * (self.item_length + 1) + 1 + self.item_length

    def sample(self, rng):
        """Draw items, and which one to ask for."""
        count = rng.integers(self.min_items, self.max_items + 1)
        asked = rng.integers(count - 1)
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
            asked: Which item is shown again; the answer is the one after it.

        Raises:
            ValueError: Items of another shape, or an item that none follows.
        """
        items = np.asarray(items, "float32")
        shape = (self.item_length, self.num_bits)
        if items.ndim != 3 or len(items) < 2 or items.shape[1:] != shape:
            raise ValueError(
                f"Argument `items` must have shape (items, {shape[0]}, {shape[1]}), at "
                f"least 2 items. Received: items of shape {items.shape}"
            )
        if not 0 <= asked < len(items) - 1:
            raise ValueError(
                f"Argument `asked` must be from 0 to {len(items) - 2}, so that an item "
                f"follows. Received: asked={asked}"
            )
        time, block = self._time(len(items)), self.item_length + 1
        inputs = np.zeros((time, self.observation_size), "float32")
        shown = np.concatenate([items, items[asked : asked + 1]])
        starts = block * np.arange(len(shown))
        for step in range(self.item_length):
            inputs[starts + 1 + step, : self.num_bits] = shown[:, step]
        inputs[starts[:-1], self.num_bits] = 1.0
        inputs[[starts[-1], starts[-1] + block], self.num_bits + 1] = 1.0
        targets = np.zeros((time, self.target_size), "float32")
        targets[-self.item_length :] = items[asked + 1]
        mask = (np.arange(time) >= time - self.item_length).astype("float32")
        return Episode(inputs, targets, mask)
