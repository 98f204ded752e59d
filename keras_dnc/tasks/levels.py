"""Curricula: one task at several levels of difficulty, from the easiest on."""

import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_dnc.arguments import probability
from keras_dnc.arguments import switch
from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import EpisodeBatch
from keras_dnc.tasks.task import EpisodeDataset
from keras_dnc.tasks.task import Task


class Levels(Task):
    """Tasks of increasing difficulty, sampled at the current level.

    Episodes come from the current level and, with probability `earlier`, from an easier
    one. `level` holds the current level, and the callback `keras_dnc.Curriculum` raises
    it.

    Args:
        tasks: Tasks of one class and equal channels, the easiest first, such as copies
            of up to 2, 4 and 8 steps.
        earlier: Probability that an episode is drawn from an earlier level, each
            equally likely, so that the model does not forget them. In [0, 1). Defaults
            to 0.1.
        pad_to_level: Whether batches are padded to the longest episode of the current
            level, and not of the hardest one. Easy levels are then faster, and a
            compiled model is compiled again at each level. Defaults to `False`.

    Attributes:
        level: Index of the current task, from 0.
        max_time: Number of steps to which batches are padded.

    Raises:
        ValueError: `tasks` is not a list of tasks, is empty or its tasks differ in
            class or channels, `earlier` is outside [0, 1), `pad_to_level` is not a
            bool, or `level` is set to a level that does not exist.

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

    def __init__(
        self,
        tasks: Sequence[Task],
        earlier: float = 0.1,
        pad_to_level: bool = False,
    ) -> None:
        self.tasks = _checked_tasks(tasks)
        self.pad_to_level = switch("pad_to_level", pad_to_level)
        kinds = {
            (type(task).__name__, task.observation_size, task.target_size)
            for task in self.tasks
        }
        if len(kinds) != 1:
            raise ValueError(
                "Argument `tasks` must be tasks of one kind and the same channels. "
                f"Received: {sorted(kinds)}"
            )
        self.earlier = probability("earlier", earlier)
        self.level = 0
        ((_, self.observation_size, self.target_size),) = kinds
        self.metric = self.tasks[0].metric
        self.answers_bits = self.tasks[0].answers_bits

    @classmethod
    def doubling(
        cls, make: Callable[[int], Task], first: int, last: int, earlier: float = 0.1
    ) -> "Levels":
        """Build levels whose size doubles.

        Args:
            make: Function from a size, such as a maximum length, to a task.
            first: Size of the easiest level.
            last: Size of the hardest level.
            earlier: Probability that an episode is drawn from an earlier level. In
                [0, 1). Defaults to 0.1.

        Returns:
            `Levels` of sizes `first`, `2 * first`, `4 * first`, ..., `last`.

        Raises:
            ValueError: A size is not a positive integer, `first` is above `last`, or
                `earlier` is outside [0, 1).
        """
        cls._check_range("first", first, "last", last)
        sizes = [first]
        while sizes[-1] < last:
            sizes.append(min(2 * sizes[-1], last))
        return cls([make(size) for size in sizes], earlier)

    @property
    def level(self) -> int:
        """Index of the current task, from 0."""
        return self._level

    @level.setter
    def level(self, level: int) -> None:
        is_integer = isinstance(level, numbers.Integral) and not isinstance(level, bool)
        if not is_integer or level not in range(len(self.tasks)):
            raise ValueError(
                f"Argument `level` must be an integer from 0 to {len(self.tasks) - 1}. "
                f"Received: level={level!r}"
            )
        self._level = level
        padded_to = self.tasks[: level + 1] if self.pad_to_level else self.tasks
        self.max_time = max(task.max_time for task in padded_to)

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw an episode of the current level or, sometimes, of an earlier one.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode`.
        """
        is_earlier = self.level > 0 and rng.random() < self.earlier
        level = rng.integers(self.level) if is_earlier else self.level
        return self.tasks[level].sample(rng)

    def dataset(self, batch_size: int, steps: int, seed: int = 0) -> EpisodeDataset:
        """Build a dataset for `model.fit` that draws new episodes in each epoch.

        With `pad_to_level`, the second batch is padded to the hardest level: Keras
        treats the time axis as fixed if the first two batches are equally long.

        Args:
            batch_size: Number of episodes in a batch.
            steps: Number of batches in an epoch.
            seed: Seed of the episodes. An integer from 0 to 2^32 - 1. Defaults to 0.

        Returns:
            `EpisodeDataset`, a `keras.utils.PyDataset`.

        Raises:
            ValueError: `batch_size` or `steps` is not a positive integer, or `seed` is
                out of range.
        """
        if self.pad_to_level:
            longest = max(task.max_time for task in self.tasks)
            return _TwoLengths(longest, self, batch_size, steps, seed)
        return super().dataset(batch_size, steps, seed)

    def errors(self, batch: EpisodeBatch, outputs: npt.ArrayLike) -> np.ndarray:
        """Compute the error of each sequence, in the unit of the tasks.

        Args:
            batch: `EpisodeBatch`.
            outputs: Model outputs, `(batch, max_time, target_size)`.

        Returns:
            `(batch,)`, at least 0.
        """
        return self.tasks[-1].errors(batch, outputs)

    def to_text(self, episode: Episode, outputs: npt.ArrayLike | None = None) -> str:
        """Draw an episode as text, in the format of the tasks.

        Args:
            episode: `Episode`.
            outputs: Model outputs, `(time, target_size)`, to draw with the targets.
                Defaults to `None`, for no outputs.

        Returns:
            Text of one or more lines.
        """
        return self.tasks[-1].to_text(episode, outputs)


class _TwoLengths(EpisodeDataset):
    """A dataset whose second batch is padded to another length than the others."""

    def __init__(self, longest: int, *args: Any) -> None:
        super().__init__(*args)
        self._longest = longest

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        batch = super().__getitem__(index)
        if index != 1:
            return batch
        ends = [(0, 0), (0, self._longest - batch[0].shape[1]), (0, 0)]
        return tuple(np.pad(field, ends[: field.ndim]) for field in batch)


def _checked_tasks(tasks: Any) -> list[Task]:
    """Return a list of tasks, or raise a `ValueError`."""
    is_list = isinstance(tasks, Sequence)
    if not is_list or not all(isinstance(task, Task) for task in tasks):
        raise ValueError(
            f"Argument `tasks` must be a list of `Task`. Received: {tasks=}"
        )
    return list(tasks)
