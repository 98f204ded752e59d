"""Priority sort: give vectors back in the order of the numbers they came with."""

import numpy as np

from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers


class PrioritySortTask(Task):
    """See vectors, each with a priority; give those of highest priority, in order.

    With 2 bits, 3 items, 2 answers (`.` is 0, `#` is 1):

        time               0     1     2    3  4  5
        inputs   bit 0     #     .     .    .  .  .
                 bit 1     .     #     .    .  .  .
                 priority  0.3  -0.8   0.9  .  .  .
                 delimiter .     .     .    #  .  .
        targets  bit 0     .     .     .    .  .  #
                 bit 1     .     .     .    .  .  .
        mask               .     .     .    .  #  #

    Measured in wrong bits a sequence (`bit_errors`).

    Args:
        num_bits: Bits of a vector.
        num_items: Vectors to see.
        num_answers: Vectors to give back, the first by priority.

    Raises:
        ValueError: A number that is no positive integer, or more answers than items.

    Example:
        >>> import numpy as np
        >>> task = PrioritySortTask(num_bits=4, num_items=5, num_answers=3)
        >>> batch = task.batch(2, np.random.default_rng(0))
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.shape
        ((2, 9, 6), (2, 9, 4), (2, 9))

    References:
        - Graves et al. 2014, Neural Turing Machines, section 4.5.
    """

    def __init__(
        self, num_bits: int = 8, num_items: int = 20, num_answers: int = 16
    ) -> None:
        check_positive_integers(num_bits=num_bits)
        self._check_range("num_answers", num_answers, "num_items", num_items)
        self.num_bits = num_bits
        self.num_items = num_items
        self.num_answers = num_answers
        self.observation_size = num_bits + 2
        self.target_size = num_bits
        self.max_time = num_items + 1 + num_answers

    def sample(self, rng):
        """Draw vectors and priorities, uniform in [-1, 1]."""
        vectors = rng.integers(0, 2, (self.num_items, self.num_bits))
        return self.episode(vectors, rng.uniform(-1.0, 1.0, self.num_items))

    def episode(self, vectors, priorities):
        """Lay vectors and their priorities out as an `Episode`.

        Args:
            vectors: `(num_items, num_bits)`, of zeros and ones.
            priorities: `(num_items,)`; of equal ones, the first comes first.

        Raises:
            ValueError: An argument of another shape.
        """
        vectors, priorities = np.asarray(vectors), np.asarray(priorities)
        if vectors.shape != (self.num_items, self.num_bits):
            raise ValueError(
                f"Argument `vectors` must have shape ({self.num_items}, "
                f"{self.num_bits}). Received: vectors of shape {vectors.shape}"
            )
        if priorities.shape != (self.num_items,):
            raise ValueError(
                f"Argument `priorities` must have shape ({self.num_items},). "
                f"Received: priorities of shape {priorities.shape}"
            )
        inputs = np.zeros((self.max_time, self.observation_size), "float32")
        inputs[: self.num_items, : self.num_bits] = vectors
        inputs[: self.num_items, self.num_bits] = priorities
        inputs[self.num_items, self.num_bits + 1] = 1.0
        targets = np.zeros((self.max_time, self.num_bits), "float32")
        order = np.argsort(-priorities, kind="stable")[: self.num_answers]
        targets[self.num_items + 1 :] = vectors[order]
        mask = (np.arange(self.max_time) > self.num_items).astype("float32")
        return Episode(inputs, targets, mask)
