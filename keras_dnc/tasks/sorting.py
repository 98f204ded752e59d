"""Priority sort: output vectors in the order of their priorities."""

import numpy as np
import numpy.typing as npt

from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers


class PrioritySortTask(Task):
    """Read vectors with priorities, then output those of highest priority in order.

    With 2 bits, 3 items, 2 answers (`.` is 0, `#` is 1):

        time               0     1     2    3  4  5
        inputs   bit 0     #     .     .    .  .  .
                 bit 1     .     #     .    .  .  .
                 priority  0.3  -0.8   0.9  .  .  .
                 delimiter .     .     .    #  .  .
        targets  bit 0     .     .     .    .  .  #
                 bit 1     .     .     .    .  .  .
        mask               .     .     .    .  #  #

    The error is the number of wrong bits in a sequence (`bit_errors`).

    Args:
        num_bits: Number of bits in a vector. Defaults to 8.
        num_items: Number of vectors in the input. Defaults to 20.
        num_answers: Number of vectors to output, highest priority first. Defaults to
            16.

    Raises:
        ValueError: An argument is not a positive integer, or `num_answers` is above
            `num_items`.

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

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw random vectors with priorities that are uniform in [-1, 1].

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode`.
        """
        vectors = rng.integers(0, 2, (self.num_items, self.num_bits))
        return self.episode(vectors, rng.uniform(-1.0, 1.0, self.num_items))

    def episode(self, vectors: npt.ArrayLike, priorities: npt.ArrayLike) -> Episode:
        """Build the episode of given vectors and priorities.

        Args:
            vectors: `(num_items, num_bits)`, zeros and ones.
            priorities: `(num_items,)`; vectors of equal priority keep their order.

        Returns:
            `Episode`.

        Raises:
            ValueError: An argument has another shape.
        """
        vectors, priorities = np.asarray(vectors), np.asarray(priorities)
        self._check_shapes(vectors, priorities)
        inputs = np.zeros((self.max_time, self.observation_size), "float32")
        inputs[: self.num_items, : self.num_bits] = vectors
        inputs[: self.num_items, self.num_bits] = priorities
        inputs[self.num_items, self.num_bits + 1] = 1.0
        targets = np.zeros((self.max_time, self.num_bits), "float32")
        order = np.argsort(-priorities, kind="stable")[: self.num_answers]
        targets[self.num_items + 1 :] = vectors[order]
        mask = (np.arange(self.max_time) > self.num_items).astype("float32")
        return Episode(inputs, targets, mask)

    def _check_shapes(self, vectors: np.ndarray, priorities: np.ndarray) -> None:
        """Raise a `ValueError` unless both have the shapes of this task."""
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
