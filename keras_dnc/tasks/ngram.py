"""Dynamic n-grams: predict bits from a rule that differs in every sequence."""

import numpy as np
import numpy.typing as npt

from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import EpisodeBatch
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers

_MAX_BITS = 31  # the table of an n-gram has at most 2^30 rows


class NGramTask(Task):
    """Predict the next bit of a sequence drawn from its own random n-gram table.

    The table holds the probability of a one after each context of `n - 1` bits, drawn
    from Beta(1/2, 1/2), so that most are near 0 or 1. A model has to count which bits
    followed each context. With n = 3 (`.` is 0, `#` is 1):

        time          0  1  2  3  4  5
        inputs        #  .  .  #  .  .      the current bit
        targets       .  .  #  .  .  #      the next bit
        mask          .  #  #  #  #  #      1 once a whole context is known

    The error is the excess cross-entropy of a sequence, in bits, over that of the
    Bayesian estimator that knows the prior, `(N1 + 1/2) / (N0 + N1 + 1)`, where N1 and
    N0 count the ones and zeros that have followed the context so far.

    Args:
        n: Number of bits in an n-gram: a context and the next bit. At most 31. Defaults
            to 6.
        length: Number of bits in a sequence; the last one is a target only. Defaults to
            200.

    Raises:
        ValueError: An argument is not a positive integer, or `n` is below 2, above 31
            or above `length`.

    Example:
        >>> import numpy as np
        >>> task = NGramTask(n=3, length=50)
        >>> batch = task.batch(4, np.random.default_rng(0))
        >>> batch.inputs.shape, batch.targets.shape
        ((4, 49, 1), (4, 49, 1))
        >>> float(np.abs(task.errors(batch, task.optimum(batch))).max())
        0.0

    References:
        - Graves et al. 2014, Neural Turing Machines, section 4.4.
        - Murphy 2012, Machine learning: a probabilistic perspective (the estimator).
    """

    metric = "bits a sequence above the optimum"

    def __init__(self, n: int = 6, length: int = 200) -> None:
        check_positive_integers(n=n, length=length)
        if not 2 <= n <= min(length, _MAX_BITS):
            raise ValueError(
                "Argument `n` must be at least 2 and at most `length` and "
                f"{_MAX_BITS}: its table has 2 ** (n - 1) rows. "
                f"Received: n={n}, length={length}"
            )
        self.n = n
        self.length = length
        self.observation_size = 1
        self.target_size = 1
        self.max_time = length - 1

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw a table, and a sequence of bits from it.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode`.
        """
        return self.episode(rng.beta(0.5, 0.5, 2 ** (self.n - 1)), rng)

    def episode(self, table: npt.ArrayLike, rng: np.random.Generator) -> Episode:
        """Draw a sequence of bits from a given table.

        Args:
            table: `(2 ** (n - 1),)`, the probability of a one after each context. The
                index of a context is its bits as a binary number, the oldest bit first.
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode`.

        Raises:
            ValueError: `table` has another shape.
        """
        table = np.asarray(table)
        contexts = 2 ** (self.n - 1)
        if table.shape != (contexts,):
            raise ValueError(
                f"Argument `table` must have shape ({contexts},). "
                f"Received: table of shape {table.shape}"
            )
        bits = rng.integers(0, 2, self.length)
        context = int("0" + "".join(map(str, bits[: self.n - 1])), 2)
        for time in range(self.n - 1, self.length):
            bits[time] = rng.random() < table[context]
            context = (2 * context + int(bits[time])) % contexts
        column = bits.astype("float32")[:, None]
        mask = (np.arange(self.max_time) >= self.n - 2).astype("float32")
        return Episode(column[:-1], column[1:], mask)

    def optimum(self, batch: EpisodeBatch) -> np.ndarray:
        """Compute the logits of the best estimator that knows the prior.

        Args:
            batch: `EpisodeBatch`.

        Returns:
            Logits, `(batch, time, 1)`.
        """
        bits = batch.inputs[:, :, 0] > 0.5
        return np.stack([self._optimum_of_sequence(row) for row in bits])

    def _optimum_of_sequence(self, bits: np.ndarray) -> np.ndarray:
        """Compute the logits of one sequence from the counts in each context so far."""
        ones, zeros = np.full((2, 2 ** (self.n - 1)), 0.5)
        context, logits = 0, np.zeros((len(bits), 1))
        for time, bit in enumerate(bits):
            if time >= self.n - 1:
                (ones if bit else zeros)[context] += 1.0
            context = (2 * context + int(bit)) % len(ones)
            logits[time] = np.log(ones[context] / zeros[context])
        return logits

    def errors(self, batch: EpisodeBatch, outputs: npt.ArrayLike) -> np.ndarray:
        """Compute the excess cross-entropy of each sequence over the optimum, in bits.

        Args:
            batch: `EpisodeBatch`.
            outputs: Logits, `(batch, time, 1)`.

        Returns:
            `(batch,)`; below 0 where a guess was luckier than the optimum.
        """
        optimum = self._cross_entropy(batch, self.optimum(batch))
        return self._cross_entropy(batch, outputs) - optimum

    @staticmethod
    def _cross_entropy(batch: EpisodeBatch, logits: npt.ArrayLike) -> np.ndarray:
        """Compute the cross-entropy of each sequence, in bits."""
        against = np.asarray(logits, "float64") * (1.0 - 2.0 * batch.targets)
        nats = np.logaddexp(0.0, against) * batch.mask[:, :, None]
        return np.sum(nats, axis=(1, 2)) / np.log(2.0)
