"""Curricula: the same task, from its easiest level to its hardest."""

from collections.abc import Callable
from collections.abc import Sequence

from keras_dnc.tasks.task import EpisodeBatch
from keras_dnc.tasks.task import Task


class Levels(Task):
    """Tasks of rising difficulty, of which training sees one and some of those before.

    `level` says which; `keras_dnc.Curriculum` raises it. Batches of every level are as
    long as the longest episode of all: Keras fixes their shape when training begins.

    Args:
        tasks: Tasks of one kind and equal channels, the easiest first, such as copies
            of up to 2, 4 and 8 steps.
        earlier: Fraction of episodes that are of an earlier level, any of them equally
            likely, so that none is forgotten.

    Raises:
        ValueError: No tasks, tasks of another kind or of other channels than the first,
            `earlier` outside of [0, 1), or a level that there is not.

    Example:
        >>> import numpy as np
        >>> from keras_dnc.tasks.copy import CopyTask
        >>> levels = Levels.doubling(lambda n: CopyTask(max_length=n), 2, 10)
        >>> [task.max_length for task in levels.tasks]
        [2, 4, 8, 10]
        >>> levels.level = 1
        >>> levels.batch(5, np.random.default_rng(0)).inputs.shape
        (5, 21, 9)

    References:
        - Zaremba and Sutskever 2014, Learning to execute, section 4.
        - Graves et al. 2016, Methods, "Curriculum learning".
    """

    def __init__(self, tasks: Sequence[Task], earlier: float = 0.1) -> None:
        self.tasks = list(tasks)
        kinds = {
            (type(task).__name__, task.observation_size, task.target_size)
            for task in self.tasks
        }
        if len(kinds) != 1:
            raise ValueError(
                "Argument `tasks` must be tasks of one kind and the same channels. "
                f"Received: {sorted(kinds)}"
            )
        if not 0.0 <= earlier < 1.0:
            raise ValueError(
                "Argument `earlier` must be at least 0 and below 1. "
                f"Received: earlier={earlier!r}"
            )
        self.earlier = earlier
        self.level = 0
        ((_, self.observation_size, self.target_size),) = kinds
        self.max_time = max(task.max_time for task in self.tasks)
        self.metric = self.tasks[0].metric
        self.answers_bits = self.tasks[0].answers_bits

    @classmethod
    def doubling(
        cls, make: Callable[[int], Task], first: int, last: int, earlier: float = 0.1
    ) -> "Levels":
        """Give levels whose size doubles.

        Args:
            make: From a size, such as a greatest length, to a task.
            first: Size of the easiest level.
            last: Size of the hardest.
            earlier: As in the constructor.

        Raises:
            ValueError: A size that is no positive integer, or `first` above `last`.
        """
        cls._check_range("first", first, "last", last)
        sizes = [first]
        while sizes[-1] < last:
            sizes.append(min(2 * sizes[-1], last))
        return cls([make(size) for size in sizes], earlier)

    @property
    def level(self):
        """Index of the task at hand."""
        return self._level

    @level.setter
    def level(self, level):
        if level not in range(len(self.tasks)):
            raise ValueError(
                f"Argument `level` must be an integer from 0 to {len(self.tasks) - 1}. "
                f"Received: level={level!r}"
            )
        self._level = level

    def sample(self, rng):
        """Draw an episode of the level, or of an earlier one."""
        is_earlier = self.level > 0 and rng.random() < self.earlier
        level = rng.integers(self.level) if is_earlier else self.level
        return self.tasks[level].sample(rng)

    def errors(self, batch: EpisodeBatch, outputs):
        """Give what the tasks are measured in, for each sequence, `(batch,)`."""
        return self.tasks[-1].errors(batch, outputs)

    def to_text(self, episode, outputs=None):
        """Draw an episode as its task does."""
        return self.tasks[-1].to_text(episode, outputs)
