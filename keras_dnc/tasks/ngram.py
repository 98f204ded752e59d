"""Dynamic n-grams: predict bits whose rule is another in every sequence."""

import numpy as np

from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import EpisodeBatch
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers


class NGramTask(Task):
    """See bits, each drawn by a table of its sequence's own; predict the next.

    The table has a probability for each context of `n - 1` bits, drawn from Beta(1/2,
    1/2), so that most are near 0 or 1: a learner has to count what followed each
    context. With n = 3 (`.` is 0, `#` is 1):

        time          0  1  2  3  4  5
        inputs        #  .  .  #  .  .      the bit at hand
        targets       .  .  #  .  .  #      the next one
        mask          .  #  #  #  #  #      from where a whole context is known

    Measured in bits a sequence above what the best estimator pays that knows the
    rule's prior, `(N1 + 1/2) / (N0 + N1 + 1)` with N1, N0 the ones and zeros that have
    followed the context so far.

    Args:
        n: Bits that depend on each other: a context, and the next one.
        length: Bits of a sequence, the last of which is only predicted.

    Raises:
        ValueError: A number that is no positive integer, or `n` below 2 or above
            `length`.

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
        if not 2 <= n <= length:
            raise ValueError(
                "Argument `n` must be at least 2 and at most `length`. "
                f"Received: n={n}, length={length}"
            )
        self.n = n
        self.length = length
        self.observation_size = 1
        self.target_size = 1
        self.max_time = length - 1

    def sample(self, rng):
        """Draw a table, and bits by it."""
        return self.episode(rng.beta(0.5, 0.5, 2 ** (self.n - 1)), rng)

    def episode(self, table, rng):
        """Draw bits by a table.

        Args:
            table: `(2 ** (n - 1),)`, probability of a one after each context; the
                context's oldest bit counts most.
            rng: `numpy.random.Generator`.

        Raises:
            ValueError: A table of another shape.
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
        bits = bits.astype("float32")[:, None]
        mask = (np.arange(self.max_time) >= self.n - 2).astype("float32")
        return Episode(bits[:-1], bits[1:], mask)

    def optimum(self, batch):
        """Give the best estimator's logits, `(batch, time, 1)`.

        Args:
            batch: `EpisodeBatch`.
        """
        return np.stack([self._count(bits) for bits in batch.inputs[:, :, 0] > 0.5])

    def _count(self, bits):
        """Give the logits of one sequence: a count for each context met so far."""
        ones, zeros = np.full((2, 2 ** (self.n - 1)), 0.5)
        context, logits = 0, np.zeros((len(bits), 1))
        for time, bit in enumerate(bits):
            if time >= self.n - 1:
                (ones if bit else zeros)[context] += 1.0
            context = (2 * context + int(bit)) % len(ones)
            logits[time] = np.log(ones[context] / zeros[context])
        return logits

    def errors(self, batch: EpisodeBatch, outputs):
        """Give bits above the optimum, `(batch,)`; `outputs` are logits."""
        return self._bits(batch, outputs) - self._bits(batch, self.optimum(batch))

    @staticmethod
    def _bits(batch, logits):
        """Cross-entropy of each sequence, base 2."""
        against = np.asarray(logits, "float64") * (1.0 - 2.0 * batch.targets)
        nats = np.logaddexp(0.0, against) * batch.mask[:, :, None]
        return np.sum(nats, axis=(1, 2)) / np.log(2.0)
