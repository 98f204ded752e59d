"""Copy tasks: hold a pattern, and give it back."""

import numbers

import numpy as np

from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers


class CopyTask(Task):
    """See random bits, then give them back in order.

    With 3 bits, length 2 (`.` is 0, `#` is 1):

        time               0  1  2  3  4
        inputs   bit 0     .  #  .  .  .
                 bit 1     #  #  .  .  .
                 bit 2     .  #  .  .  .
                 delimiter .  .  #  .  .
        targets  bit 0     .  .  .  .  #
                 bit 1     .  .  .  #  #
                 bit 2     .  .  .  .  #
        mask               .  .  .  #  #

    Measured in wrong bits a sequence (`bit_errors`). The paper trains on 1 to 20 steps
    and tests on up to 120: give a test its own task, with longer sequences.

    Args:
        num_bits: Bits at each step.
        min_length: Steps of the shortest sequence.
        max_length: Steps of the longest sequence.

    Raises:
        ValueError: A number that is no positive integer, or a minimum above its
            maximum.

    Example:
        >>> import numpy as np
        >>> task = CopyTask(num_bits=3, min_length=2, max_length=2)
        >>> batch = task.batch(4, np.random.default_rng(0))
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.shape
        ((4, 5, 4), (4, 5, 3), (4, 5))

    References:
        - Graves et al. 2014, Neural Turing Machines, section 4.1.
    """

    def __init__(
        self, num_bits: int = 8, min_length: int = 1, max_length: int = 20
    ) -> None:
        check_positive_integers(num_bits=num_bits)
        self._check_range("min_length", min_length, "max_length", max_length)
        self.num_bits = num_bits
        self.min_length = min_length
        self.max_length = max_length
        self.observation_size = num_bits + 1
        self.target_size = num_bits
        self.max_time = 2 * max_length + 1

    def sample(self, rng):
        """Draw a sequence."""
        length = rng.integers(self.min_length, self.max_length + 1)
        return self.episode(rng.integers(0, 2, (length, self.num_bits)))

    def episode(self, pattern):
        """Lay a sequence out as an `Episode`.

        Args:
            pattern: `(length, num_bits)`, of zeros and ones.

        Raises:
            ValueError: A pattern of another shape.
        """
        pattern = checked_pattern(pattern, self.num_bits)
        length = len(pattern)
        inputs = np.zeros((2 * length + 1, self.observation_size), "float32")
        inputs[:length, : self.num_bits] = pattern
        inputs[length, self.num_bits] = 1.0
        targets = np.zeros((2 * length + 1, self.num_bits), "float32")
        targets[length + 1 :] = pattern
        mask = (np.arange(2 * length + 1) > length).astype("float32")
        return Episode(inputs, targets, mask)


def checked_pattern(pattern, num_bits):
    """Give `pattern` as float32, or raise a `ValueError` unless it is of `num_bits`."""
    pattern = np.asarray(pattern, "float32")
    if pattern.ndim != 2 or not len(pattern) or pattern.shape[1] != num_bits:
        raise ValueError(
            f"Argument `pattern` must have shape (length, {num_bits}), length at least "
            f"1. Received: pattern of shape {pattern.shape}"
        )
    return pattern


class SymbolRecallTask(Task):
    """See a symbol, then blanks, and give it back when asked.

    The picture `8 _ _ _ _ -> _ _ _ _ 8`. With 3 symbols, the second of them, and a
    gap of 3 steps (`.` is 0, `#` is 1):

        time              0  1  2  3  4
        inputs   symbol 0 .  .  .  .  .
                 symbol 1 #  .  .  .  .
                 symbol 2 .  .  .  .  .
                 question .  .  .  .  #
        targets  symbol 0 .  .  .  .  .
                 symbol 1 .  .  .  .  #
                 symbol 2 .  .  .  .  .
        mask              .  .  .  .  #

    Measured in wrong bits a sequence (`bit_errors`).

    Args:
        num_symbols: Symbols to choose from.
        min_gap: Fewest blanks.
        max_gap: Most blanks.

    Raises:
        ValueError: A number that is no positive integer, or a minimum above its
            maximum.

    Example:
        >>> import numpy as np
        >>> task = SymbolRecallTask(num_symbols=3, min_gap=3, max_gap=3)
        >>> batch = task.batch(2, np.random.default_rng(0))
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.shape
        ((2, 5, 4), (2, 5, 3), (2, 5))
    """

    def __init__(
        self, num_symbols: int = 10, min_gap: int = 1, max_gap: int = 20
    ) -> None:
        check_positive_integers(num_symbols=num_symbols)
        self._check_range("min_gap", min_gap, "max_gap", max_gap)
        self.num_symbols = num_symbols
        self.min_gap = min_gap
        self.max_gap = max_gap
        self.observation_size = num_symbols + 1
        self.target_size = num_symbols
        self.max_time = max_gap + 2

    def sample(self, rng):
        """Draw a symbol and a gap."""
        gap = rng.integers(self.min_gap, self.max_gap + 1)
        return self.episode(rng.integers(self.num_symbols), gap)

    def episode(self, symbol, gap):
        """Lay a symbol and a gap out as an `Episode`.

        Args:
            symbol: A number from 0 to `num_symbols - 1`.
            gap: Blanks before the question.

        Raises:
            ValueError: No such symbol, or no gap.
        """
        check_positive_integers(gap=gap)
        is_integer = isinstance(symbol, numbers.Integral)
        if not is_integer or not 0 <= symbol < self.num_symbols:
            raise ValueError(
                f"Argument `symbol` must be an integer from 0 to "
                f"{self.num_symbols - 1}. Received: symbol={symbol!r}"
            )
        inputs = np.zeros((gap + 2, self.observation_size), "float32")
        inputs[0, symbol] = inputs[-1, self.num_symbols] = 1.0
        targets = np.zeros((gap + 2, self.num_symbols), "float32")
        targets[-1, symbol] = 1.0
        mask = np.zeros(gap + 2, "float32")
        mask[-1] = 1.0
        return Episode(inputs, targets, mask)


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
        repeats_mean: Number of repeats that the repeats channel shows as 0.
        repeats_scale: What the channel divides by. With `normal_repeats(1, 10)` for
            both, repeats of 1 to 10 have mean 0 and variance 1, as in the paper.

    Raises:
        ValueError: A number that is no positive integer, a minimum above its maximum,
            a mean that is not finite, or a scale that is not finite and above 0.

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
        repeats_mean: float = 0.0,
        repeats_scale: float = 10.0,
    ) -> None:
        check_positive_integers(num_bits=num_bits)
        self._check_range("min_length", min_length, "max_length", max_length)
        self._check_range("min_repeats", min_repeats, "max_repeats", max_repeats)
        self.num_bits = num_bits
        self.min_length = min_length
        self.max_length = max_length
        self.min_repeats = min_repeats
        self.max_repeats = max_repeats
        self._check_channel(repeats_mean, repeats_scale)
        self.repeats_mean = repeats_mean
        self.repeats_scale = repeats_scale
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
        pattern = checked_pattern(pattern, self.num_bits)
        check_positive_integers(repeats=repeats)
        length = len(pattern)
        answer = length + 2
        time = answer + length * repeats + 1
        inputs = np.zeros((time, self.observation_size), "float32")
        inputs[0, self.num_bits] = 1.0
        inputs[1 : length + 1, : self.num_bits] = pattern
        shown = (repeats - self.repeats_mean) / self.repeats_scale
        inputs[length + 1, self.num_bits + 1] = shown
        targets = np.zeros((time, self.target_size), "float32")
        targets[answer:-1, : self.num_bits] = np.tile(pattern, (repeats, 1))
        targets[-1, self.num_bits] = 1.0
        mask = (np.arange(time) >= answer).astype("float32")
        return Episode(inputs, targets, mask)

    @staticmethod
    def _check_channel(mean, scale):
        """Raise a `ValueError` unless the repeats channel shows finite numbers."""
        for name, value, lowest in (
            ("repeats_mean", mean, -np.inf),
            ("repeats_scale", scale, 0.0),
        ):
            if not isinstance(value, numbers.Real) or not lowest < value < np.inf:
                raise ValueError(
                    f"Argument `{name}` must be a finite number above {lowest:g}. "
                    f"Received: {name}={value!r}"
                )


def normal_repeats(min_repeats: int, max_repeats: int) -> dict[str, float]:
    """Give the `RepeatCopyTask` arguments that bring repeats to mean 0, variance 1.

    Args:
        min_repeats: Fewest repeats in training, at least 1.
        max_repeats: Most repeats in training, more than `min_repeats`.

    Returns:
        Dict of `repeats_mean` and `repeats_scale`. A task of more repeats takes those
        of training, so that its channel goes on where that of training ends.

    Raises:
        ValueError: No positive integers, or no more than one number of repeats.

    Example:
        >>> channel = normal_repeats(1, 10)
        >>> task = RepeatCopyTask(8, max_length=10, max_repeats=20, **channel)
        >>> task.repeats_mean, round(task.repeats_scale, 3)
        (5.5, 2.872)
    """
    check_positive_integers(min_repeats=min_repeats, max_repeats=max_repeats)
    repeats = np.arange(min_repeats, max_repeats + 1)
    if len(repeats) < 2:
        raise ValueError(
            "Argument `max_repeats` must be greater than `min_repeats`, or there is no "
            f"variance. Received: min_repeats={min_repeats}, max_repeats={max_repeats}"
        )
    return {
        "repeats_mean": float(repeats.mean()),
        "repeats_scale": float(repeats.std()),
    }
