"""Numbers in a row: add two that are marked, or say which is the greatest."""

import numpy as np

from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import EpisodeBatch
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers


class AddingTask(Task):
    """See numbers, two of which are marked; give the sum of these at the end.

    With 5 numbers:

        time               0    1    2    3    4
        inputs   number    0.5  0.2  0.9  0.7  0.1
                 marker    .    #    .    #    .
        targets  sum       .    .    .    .    0.9
        mask               .    .    .    .    #

    Numbers are uniform in [0, 1]. Measured in squared error; always saying 1 has 1/6.

    Args:
        min_length: Fewest numbers, at least 2.
        max_length: Most numbers.

    Raises:
        ValueError: A number that is no positive integer, fewer than 2 numbers, or a
            minimum above its maximum.

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

    def sample(self, rng):
        """Draw numbers, and which two to add."""
        length = rng.integers(self.min_length, self.max_length + 1)
        marked = rng.choice(length, 2, replace=False)
        return self.episode(rng.random(length), marked)

    def episode(self, values, marked):
        """Lay numbers out as an `Episode`.

        Args:
            values: `(length,)`.
            marked: Which two of them to add, `(2,)`.

        Raises:
            ValueError: Marks that are not two different places of a number.
        """
        values, marked = np.asarray(values, "float32"), np.asarray(marked)
        if len(set(marked.tolist())) != 2 or not set(marked) <= set(range(len(values))):
            raise ValueError(
                "Argument `marked` must be two different numbers from 0 to "
                f"{len(values) - 1}. Received: marked={marked}"
            )
        inputs = np.zeros((len(values), 2), "float32")
        inputs[:, 0] = values
        inputs[marked, 1] = 1.0
        targets = np.zeros((len(values), 1), "float32")
        targets[-1] = np.sum(values[marked])
        mask = np.zeros(len(values), "float32")
        mask[-1] = 1.0
        return Episode(inputs, targets, mask)

    def to_text(self, episode, outputs=None):
        """Write an episode's numbers, those marked in brackets, the sum, what was said.

        Args:
            episode: `Episode`.
            outputs: `(time, 1)`, or `None`.
        """
        shown = [
            f"[{value:.2f}]" if marked else f"{value:.2f}"
            for value, marked in np.asarray(episode.inputs)
        ]
        end = int(np.argmax(episode.mask))
        said = "" if outputs is None else f", said {np.asarray(outputs)[end, 0]:.2f}"
        return f"{' '.join(shown)} = {episode.targets[end, 0]:.2f}{said}"

    def errors(self, batch: EpisodeBatch, outputs):
        """Give squared errors, `(batch,)`; `outputs` are numbers."""
        squares = np.square(np.asarray(outputs) - batch.targets)
        return np.sum(squares * batch.mask[:, :, None], axis=(1, 2))


class ArgmaxTask(Task):
    """See numbers; say at the end where the greatest one was.

    With 4 numbers (`.` is 0, `#` is 1):

        time               0    1    2    3    4
        inputs   number    0.5  0.2  0.9  0.7  .
                 end       .    .    .    .    #
        targets  place 0   .    .    .    .    .
                 place 1   .    .    .    .    .
                 place 2   .    .    .    .    #
                 place 3   .    .    .    .    .
        mask               .    .    .    .    #

    Numbers are uniform in [0, 1]. Measured in the fraction of sequences whose place of
    the greatest logit is wrong.

    Args:
        min_length: Fewest numbers.
        max_length: Most numbers, and places to choose from.

    Raises:
        ValueError: A number that is no positive integer, or a minimum above its
            maximum.

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

    def sample(self, rng):
        """Draw numbers."""
        return self.episode(rng.random(rng.integers(self.min_length, self.max_time)))

    def episode(self, values):
        """Lay numbers out as an `Episode`.

        Args:
            values: `(length,)`, at most `max_length`; of equal ones the first counts.

        Raises:
            ValueError: No values, or too many.
        """
        values = np.asarray(values, "float32")
        check_positive_integers(length=len(values))
        if len(values) > self.max_length:
            raise ValueError(
                f"Argument `values` must be at most {self.max_length} numbers. "
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

    def errors(self, batch: EpisodeBatch, outputs):
        """Give 1 where the place is wrong, `(batch,)`; `outputs` are logits."""
        last = np.argmax(batch.mask, axis=1)
        rows = np.arange(len(last))
        said = np.argmax(np.asarray(outputs)[rows, last], axis=-1)
        return (said != np.argmax(batch.targets[rows, last], axis=-1)).astype(int)
