"""Copy tasks: hold a pattern, and give it back."""

import numpy as np

from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers


class RepeatCopyTask(Task):
    """See a pattern of random bits once, give it back several times, then say stop.

    The format of deepmind/dnc. With 3 bits, length 2, 3 repeats (`.` is 0, `#` is 1):

        time              0  1  2  3  4  5  6  7  8  9 10
        inputs   bit 0    .  #  .  .  .  .  .  .  .  .  .
                 bit 1    .  #  #  .  .  .  .  .  .  .  .
                 bit 2    .  .  #  .  .  .  .  .  .  .  .
                 start    #  .  .  .  .  .  .  .  .  .  .
                 repeats  .  .  . 0.3 .  .  .  .  .  .  .
        targets  bit 0    .  .  .  .  #  .  #  .  #  .  .
                 bit 1    .  .  .  .  #  #  #  #  #  #  .
                 bit 2    .  .  .  .  .  #  .  #  .  #  .
                 end      .  .  .  .  .  .  .  .  .  .  #
        mask              .  .  .  .  #  #  #  #  #  #  #

    The cost of a batch is the cross-entropy of the answer, summed over channels and
    time where the mask is 1, and averaged over the batch
    (`keras_dnc.training.losses.SequenceCrossentropy`).

    Args:
        num_bits: Bits of the pattern at each step.
        min_length: Steps of the shortest pattern.
        max_length: Steps of the longest pattern.
        min_repeats: Fewest repeats.
        max_repeats: Most repeats.
        norm_max: The repeats channel shows the number of repeats divided by this.

    Raises:
        ValueError: A number that is no positive integer, or a minimum above its
            maximum.

    Example:
        >>> import numpy as np
        >>> task = RepeatCopyTask(num_bits=3, min_length=2, max_length=2)
        >>> batch = task.batch(5, np.random.default_rng(0))
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.shape
        ((5, 9, 5), (5, 9, 4), (5, 9))

    References:
        - Graves et al. 2014, Neural Turing Machines, section 4.2.
        - https://github.com/google-deepmind/dnc
    """

    def __init__(
        self,
        num_bits: int = 4,
        min_length: int = 1,
        max_length: int = 2,
        min_repeats: int = 1,
        max_repeats: int = 2,
        norm_max: int = 10,
    ) -> None:
        check_positive_integers(num_bits=num_bits, norm_max=norm_max)
        self._check_range("min_length", min_length, "max_length", max_length)
        self._check_range("min_repeats", min_repeats, "max_repeats", max_repeats)
        self.num_bits = num_bits
        self.min_length = min_length
        self.max_length = max_length
        self.min_repeats = min_repeats
        self.max_repeats = max_repeats
        self.norm_max = norm_max
        self.observation_size = num_bits + 2
        self.target_size = num_bits + 1
        self.max_time = max_length * (max_repeats + 1) + 3

    def sample(self, rng):
        """Draw a pattern and a number of repeats."""
        length = rng.integers(self.min_length, self.max_length + 1)
        repeats = rng.integers(self.min_repeats, self.max_repeats + 1)
        pattern = rng.integers(0, 2, (length, self.num_bits)).astype("float32")
        return self.episode(pattern, repeats)

    def episode(self, pattern, repeats):
        """Lay a pattern out as an `Episode`.

        Args:
            pattern: `(length, num_bits)`, of zeros and ones.
            repeats: How often to give it back.

        Raises:
            ValueError: A pattern of another shape, or no repeats.
        """
        pattern = np.asarray(pattern, "float32")
        if pattern.ndim != 2 or not len(pattern) or pattern.shape[1] != self.num_bits:
            raise ValueError(
                f"Argument `pattern` must have shape (length, {self.num_bits}), length "
                f"at least 1. Received: pattern of shape {pattern.shape}"
            )
        check_positive_integers(repeats=repeats)
        length = len(pattern)
        answer = length + 2
        time = answer + length * repeats + 1
        inputs = np.zeros((time, self.observation_size), "float32")
        inputs[0, self.num_bits] = 1.0
        inputs[1 : length + 1, : self.num_bits] = pattern
        inputs[length + 1, self.num_bits + 1] = repeats / self.norm_max
        targets = np.zeros((time, self.target_size), "float32")
        targets[answer:-1, : self.num_bits] = np.tile(pattern, (repeats, 1))
        targets[-1, self.num_bits] = 1.0
        mask = (np.arange(time) >= answer).astype("float32")
        return Episode(inputs, targets, mask)
