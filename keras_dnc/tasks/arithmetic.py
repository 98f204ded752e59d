"""Sequences of numbers: add the two that are marked, or find the greatest."""

import numpy as np
import numpy.typing as npt

from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import EpisodeBatch
from keras_dnc.tasks.task import Task


class AddingTask(Task):
    """Read numbers, two of which are marked, then output the sum of those two.

    With 5 numbers:

        time               0    1    2    3    4
        inputs   number    0.5  0.2  0.9  0.7  0.1
                 marker    .    #    .    #    .
        targets  sum       .    .    .    .    0.9
        mask               .    .    .    .    #

    Numbers are uniform in [0, 1]. The error is the squared error of the sum; a constant
    output of 1 has an expected error of 1/6.

    Args:
        min_length: Minimum number of numbers, at least 2. Defaults to 2.
        max_length: Maximum number of numbers. Defaults to 50.

    Raises:
        ValueError: An argument is not a positive integer, `min_length` is below 2, or
            it is above `max_length`.

    Example:
        >>> import numpy as np
        >>> task = AddingTask(min_length=5, max_length=5)
        >>> batch = task.batch(4, np.random.default_rng(0))
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.shape
        ((4, 5, 2), (4, 5, 1), (4, 5))

    References:
        - Hochreiter and Schmidhuber 1997, Long short-term memory, section 5.4.
    """

    metric = "squared error"
    answers_bits = False

    def __init__(self, min_length: int = 2, max_length: int = 50) -> None:
        self._check_range("min_length", min_length, "max_length", max_length)
        if min_length < 2:
            raise ValueError(
                "Argument `min_length` must be at least 2, so that two numbers can be "
                f"marked. Received: min_length={min_length}"
            )
        self.min_length = min_length
        self.max_length = max_length
        self.observation_size = 2
        self.target_size = 1
        self.max_time = max_length

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw the numbers, and the two to add.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode`.
        """
        length = rng.integers(self.min_length, self.max_length + 1)
        marked = rng.choice(length, 2, replace=False)
        return self.episode(rng.random(length), marked)

    def episode(self, values: npt.ArrayLike, marked: npt.ArrayLike) -> Episode:
        """Build the episode of given numbers.

        Args:
            values: `(length,)`, the numbers.
            marked: `(2,)`, the indices of the two numbers to add.

        Returns:
            `Episode`.

        Raises:
            ValueError: `marked` is not two different indices of `values`.
        """
        values, marked = np.asarray(values, "float32"), np.asarray(marked)
        indices = marked.tolist() if marked.shape == (2,) else []
        if len(set(indices)) != 2 or not set(indices) <= set(range(len(values))):
            raise ValueError(
                "Argument `marked` must be two different numbers from 0 to "
                f"{len(values) - 1}. Received: marked={marked.tolist()}"
            )
        inputs = np.zeros((len(values), 2), "float32")
        inputs[:, 0] = values
        inputs[marked, 1] = 1.0
        targets = np.zeros((len(values), 1), "float32")
        targets[-1] = np.sum(values[marked])
        mask = np.zeros(len(values), "float32")
        mask[-1] = 1.0
        return Episode(inputs, targets, mask)

    def to_text(self, episode: Episode, outputs: npt.ArrayLike | None = None) -> str:
        """Write an episode as a sum, with the marked numbers in brackets.

        Args:
            episode: `Episode`, padded or not.
            outputs: Model outputs, `(time, 1)`, whose value at the last step is written
                after the sum. Defaults to `None`, for no output.

        Returns:
            One line of text.
        """
        shown = [
            f"[{value:.2f}]" if marked else f"{value:.2f}"
            for value, marked in np.asarray(episode.inputs)
        ]
        end = int(np.argmax(episode.mask))
        said = "" if outputs is None else f", said {np.asarray(outputs)[end, 0]:.2f}"
        return f"{' '.join(shown)} = {episode.targets[end, 0]:.2f}{said}"

    def errors(self, batch: EpisodeBatch, outputs: npt.ArrayLike) -> np.ndarray:
        """Compute the squared error of each sequence's sum.

        Args:
            batch: `EpisodeBatch`.
            outputs: Numbers, `(batch, max_time, 1)`.

        Returns:
            `(batch,)`, at least 0.
        """
        squares = np.square(np.asarray(outputs) - batch.targets)
        return np.sum(squares * batch.mask[:, :, None], axis=(1, 2))


class ArgmaxTask(Task):
    """Read numbers, then output the position of the greatest one.

    With 4 numbers (`.` is 0, `#` is 1):

        time               0    1    2    3    4
        inputs   number    0.5  0.2  0.9  0.7  .
                 end       .    .    .    .    #
        targets  place 0   .    .    .    .    .
                 place 1   .    .    .    .    .
                 place 2   .    .    .    .    #
                 place 3   .    .    .    .    .
        mask               .    .    .    .    #

    Numbers are uniform in [0, 1]. The error of a sequence is 1 if the position of the
    greatest logit is wrong, else 0.

    Args:
        min_length: Minimum number of numbers. Defaults to 1.
        max_length: Maximum number of numbers, and number of positions to choose from.
            Defaults to 10.

    Raises:
        ValueError: An argument is not a positive integer, or `min_length` is above
            `max_length`.

    Example:
        >>> import numpy as np
        >>> task = ArgmaxTask(min_length=4, max_length=4)
        >>> batch = task.batch(3, np.random.default_rng(0))
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.shape
        ((3, 5, 2), (3, 5, 4), (3, 5))
    """

    metric = "wrong places"

    def __init__(self, min_length: int = 1, max_length: int = 10) -> None:
        self._check_range("min_length", min_length, "max_length", max_length)
        self.min_length = min_length
        self.max_length = max_length
        self.observation_size = 2
        self.target_size = max_length
        self.max_time = max_length + 1

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw the numbers.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode`.
        """
        return self.episode(rng.random(rng.integers(self.min_length, self.max_time)))

    def episode(self, values: npt.ArrayLike) -> Episode:
        """Build the episode of given numbers.

        Args:
            values: `(length,)`, from 1 to `max_length` numbers. The first of equal
                numbers counts as the greatest.

        Returns:
            `Episode`.

        Raises:
            ValueError: `values` is empty or has more than `max_length` numbers.
        """
        values = np.asarray(values, "float32")
        if not 1 <= len(values) <= self.max_length:
            raise ValueError(
                f"Argument `values` must be 1 to {self.max_length} numbers. "
                f"Received: {len(values)} numbers"
            )
        time = len(values) + 1
        inputs = np.zeros((time, 2), "float32")
        inputs[:-1, 0] = values
        inputs[-1, 1] = 1.0
        targets = np.zeros((time, self.target_size), "float32")
        targets[-1, np.argmax(values)] = 1.0
        mask = np.zeros(time, "float32")
        mask[-1] = 1.0
        return Episode(inputs, targets, mask)

    def errors(self, batch: EpisodeBatch, outputs: npt.ArrayLike) -> np.ndarray:
        """Return 1 for each sequence whose predicted position is wrong, else 0.

        Args:
            batch: `EpisodeBatch`.
            outputs: Logits, `(batch, max_time, target_size)`.

        Returns:
            `(batch,)`, integers 0 or 1.
        """
        last = np.argmax(batch.mask, axis=1)
        rows = np.arange(len(last))
        predicted = np.argmax(np.asarray(outputs)[rows, last], axis=-1)
        return (predicted != np.argmax(batch.targets[rows, last], axis=-1)).astype(int)
