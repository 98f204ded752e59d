"""Copy tasks: store a pattern in memory and output it later."""

import numbers

import numpy as np
import numpy.typing as npt

from keras_dnc.arguments import finite_number
from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers


class CopyTask(Task):
    """Read random bits, then output them in order.

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

    The error is the number of wrong bits in a sequence (`bit_errors`). The paper trains
    on 1 to 20 steps and tests on up to 120: build a second task with longer sequences
    for the test.

    Args:
        num_bits: Number of bits at each step. Defaults to 8.
        min_length: Number of steps of the shortest sequence. Defaults to 1.
        max_length: Number of steps of the longest sequence. Defaults to 20.

    Raises:
        ValueError: An argument is not a positive integer, or `min_length` is above
            `max_length`.

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

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw a random bit pattern of random length.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode`.
        """
        length = rng.integers(self.min_length, self.max_length + 1)
        return self.episode(rng.integers(0, 2, (length, self.num_bits)))

    def episode(self, pattern: npt.ArrayLike) -> Episode:
        """Build the episode of a given pattern.

        Args:
            pattern: `(length, num_bits)`, zeros and ones, at least one step.

        Returns:
            `Episode`.

        Raises:
            ValueError: `pattern` has another shape.
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


def checked_pattern(pattern: npt.ArrayLike, num_bits: int) -> np.ndarray:
    """Convert a pattern to float32, or raise a `ValueError` if its shape is wrong.

    Args:
        pattern: Any array-like.
        num_bits: Number of bits that each step must have.

    Returns:
        `(length, num_bits)`, float32.

    Raises:
        ValueError: `pattern` does not have this shape, or has no step.
    """
    pattern = np.asarray(pattern, "float32")
    if pattern.ndim != 2 or not len(pattern) or pattern.shape[1] != num_bits:
        raise ValueError(
            f"Argument `pattern` must have shape (length, {num_bits}), length at least "
            f"1. Received: pattern of shape {pattern.shape}"
        )
    return pattern


class SymbolRecallTask(Task):
    """Read a symbol, then blanks, and output the symbol when queried.

    In short, `8 _ _ _ _ -> _ _ _ _ 8`. With 3 symbols, the second of them, and a gap of
    3 steps (`.` is 0, `#` is 1):

        time              0  1  2  3  4
        inputs   symbol 0 .  .  .  .  .
                 symbol 1 #  .  .  .  .
                 symbol 2 .  .  .  .  .
                 question .  .  .  .  #
        targets  symbol 0 .  .  .  .  .
                 symbol 1 .  .  .  .  #
                 symbol 2 .  .  .  .  .
        mask              .  .  .  .  #

    The error is the number of wrong bits in a sequence (`bit_errors`).

    Args:
        num_symbols: Number of symbols to choose from. Defaults to 10.
        min_gap: Minimum number of blanks. Defaults to 1.
        max_gap: Maximum number of blanks. Defaults to 20.

    Raises:
        ValueError: An argument is not a positive integer, or `min_gap` is above
            `max_gap`.

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

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw a symbol and the length of the gap.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode`.
        """
        gap = int(rng.integers(self.min_gap, self.max_gap + 1))
        return self.episode(int(rng.integers(self.num_symbols)), gap)

    def episode(self, symbol: int, gap: int) -> Episode:
        """Build the episode of a given symbol and gap.

        Args:
            symbol: Index of the symbol, from 0 to `num_symbols - 1`.
            gap: Number of blanks before the query, at least 1.

        Returns:
            `Episode`.

        Raises:
            ValueError: `symbol` is not such an index, or `gap` is not a positive
                integer.
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
    """Read a pattern of random bits once, output it several times, then an end bit.

    The format is that of deepmind/dnc. With 3 bits, length 2, 3 repeats (`.` is 0, `#`
    is 1):

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

    The loss in deepmind/dnc is the cross-entropy of the answer, summed over channels
    and over the time steps where the mask is 1, and averaged over the batch
    (`keras_dnc.training.losses.SequenceCrossentropy`). The error is the number of wrong
    bits in a sequence (`bit_errors`).

    Args:
        num_bits: Number of bits of the pattern at each step. Defaults to 4.
        min_length: Number of steps of the shortest pattern. Defaults to 1.
        max_length: Number of steps of the longest pattern. Defaults to 2.
        min_repeats: Minimum number of repeats. Defaults to 1.
        max_repeats: Maximum number of repeats. Defaults to 2.
        repeats_mean: Number subtracted from the number of repeats in the repeats
            channel. Defaults to 0.
        repeats_scale: Number by which the difference is divided. With both from
            `normal_repeats(1, 10)`, repeats of 1 to 10 have mean 0 and variance 1, as
            in the paper. Defaults to 10.

    Raises:
        ValueError: A size is not a positive integer, a minimum is above its maximum,
            `repeats_mean` is not finite, or `repeats_scale` is not finite and above 0.

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
        self.repeats_mean = finite_number("repeats_mean", repeats_mean)
        self.repeats_scale = finite_number("repeats_scale", repeats_scale, above=0.0)
        self.observation_size = num_bits + 2
        self.target_size = num_bits + 1
        self.max_time = max_length * (max_repeats + 1) + 3

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw a pattern and a number of repeats.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode`.
        """
        length = rng.integers(self.min_length, self.max_length + 1)
        repeats = int(rng.integers(self.min_repeats, self.max_repeats + 1))
        pattern = rng.integers(0, 2, (length, self.num_bits)).astype("float32")
        return self.episode(pattern, repeats)

    def episode(self, pattern: npt.ArrayLike, repeats: int) -> Episode:
        """Build the episode of a given pattern.

        Args:
            pattern: `(length, num_bits)`, zeros and ones, at least one step.
            repeats: Number of times that the pattern is output, at least 1.

        Returns:
            `Episode`.

        Raises:
            ValueError: `pattern` has another shape, or `repeats` is not a positive
                integer.
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


def normal_repeats(min_repeats: int, max_repeats: int) -> dict[str, float]:
    """Compute the `RepeatCopyTask` arguments that normalize the repeats channel.

    With them, numbers of repeats that are uniform from `min_repeats` to `max_repeats`
    have mean 0 and variance 1. A test task with more repeats takes the values of
    training, so that its channel extends the range of training.

    Args:
        min_repeats: Minimum number of repeats in training, at least 1.
        max_repeats: Maximum number of repeats in training, above `min_repeats`.

    Returns:
        Dict with the keys `repeats_mean` and `repeats_scale`.

    Raises:
        ValueError: An argument is not a positive integer, or `max_repeats` is not above
            `min_repeats`.

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
