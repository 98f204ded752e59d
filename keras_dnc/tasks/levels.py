"""Curricula: the same task, from its easiest level to its hardest."""

from collections.abc import Sequence

from keras_dnc.tasks.task import Task


class Levels(Task):
    """Tasks of rising difficulty, of which training sees one and some of those before.

    `level` says which; `keras_dnc.Curriculum` raises it. Batches are as long as the
    level's longest episode, so that easy levels are fast; a compiled model is compiled
    once for each length.

    Args:
        tasks: Tasks of equal channels, the easiest first, such as copies of up to 2, 4
            and 8 steps.
        earlier: Fraction of episodes that are of an earlier level, any of them equally
            likely, so that none is forgotten.

    Attributes:
        level: Index of the task at hand.

    Raises:
        ValueError: No tasks, tasks of other channels than the first, `earlier` outside
            of [0, 1).

    Example:
        >>> import numpy as np
        >>> from keras_dnc.tasks.copy import CopyTask
        >>> levels = Levels([CopyTask(max_length=n) for n in (2, 4, 8)])
        >>> levels.batch(5, np.random.default_rng(0)).inputs.shape
        (5, 5, 9)
        >>> levels.level = 2
        >>> levels.batch(5, np.random.default_rng(0)).inputs.shape
        (5, 17, 9)

    References:
        - Zaremba and Sutskever 2014, Learning to execute, section 4.
        - Graves et al. 2016, Methods, "Curriculum learning".
    """

    def __init__(self, tasks: Sequence[Task], earlier: float = 0.1) -> None:
        self.tasks = list(tasks)
        channels = {(task.observation_size, task.target_size) for task in self.tasks}
        if len(channels) != 1:
            raise ValueError(
                "Argument `tasks` must be tasks of the same channels. "
                f"Received: channels {sorted(channels)}"
            )
        if not 0.0 <= earlier < 1.0:
            raise ValueError(
                "Argument `earlier` must be at least 0 and below 1. "
                f"Received: earlier={earlier!r}"
            )
        self.earlier = earlier
        self.level = 0
        ((self.observation_size, self.target_size),) = channels

    @property
    def max_time(self):
        """Steps of the level's longest episode."""
        return max(task.max_time for task in self.tasks[: self.level + 1])

    def sample(self, rng):
        """Draw an episode of the level, or of an earlier one."""
        is_earlier = self.level > 0 and rng.random() < self.earlier
        level = rng.integers(self.level) if is_earlier else self.level
        return self.tasks[level].sample(rng)
