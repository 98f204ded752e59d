"""The base class of generated tasks: batching, padding, masks, errors."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import keras
import numpy as np
import numpy.typing as npt

from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import random_seed


def check_positive_integers(**sizes: Any) -> None:
    """Raise a `ValueError` unless each argument is an integer of at least 1.

    Args:
        **sizes: Values to check, by argument name.

    Raises:
        ValueError: A value is not an integer, or is below 1 or above 2^31 - 1.
    """
    for name, size in sizes.items():
        positive_integer(name, size)


class Episode(NamedTuple):
    """One sequence of a task.

    Attributes:
        inputs: `(time, observation_size)`, float32.
        targets: `(time, target_size)`, float32 in [0, 1].
        mask: `(time,)`, float32, 1 at steps that are scored, else 0.

    Example:
        >>> from keras_dnc.tasks.copy import CopyTask
        >>> episode = CopyTask(num_bits=2).episode([[0, 1], [1, 1]])
        >>> episode.inputs.shape, episode.targets.shape, episode.mask.tolist()
        ((5, 3), (5, 2), [0.0, 0.0, 0.0, 1.0, 1.0])
    """

    inputs: np.ndarray
    targets: np.ndarray
    mask: np.ndarray


class EpisodeBatch(NamedTuple):
    """Several sequences, padded with zeros to the length of the task's longest one.

    Attributes:
        inputs: `(batch, max_time, observation_size)`, float32.
        targets: `(batch, max_time, target_size)`, float32 in [0, 1].
        mask: `(batch, max_time)`, float32, 1 at steps that are scored, else 0.

    Example:
        >>> from keras_dnc.tasks.copy import CopyTask
        >>> task = CopyTask(num_bits=2, max_length=4)
        >>> batch = task.batch(3, np.random.default_rng(0))
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.shape
        ((3, 9, 3), (3, 9, 2), (3, 9))
    """

    inputs: np.ndarray
    targets: np.ndarray
    mask: np.ndarray


def padded_batch(episodes: Sequence[Episode], time: int) -> EpisodeBatch:
    """Pad episodes with zeros to a number of steps.

    Args:
        episodes: At least one `Episode` of at most `time` steps.
        time: Number of steps.

    Returns:
        `EpisodeBatch`.

    Example:
        >>> from keras_dnc.tasks.copy import CopyTask
        >>> episodes = [CopyTask(num_bits=2).episode([[0, 1]]) for _ in range(3)]
        >>> padded_batch(episodes, 5).inputs.shape
        (3, 5, 3)
    """
    return EpisodeBatch(
        *(
            np.stack([_padded(field, time) for field in fields])
            for fields in zip(*episodes, strict=True)
        )
    )


def _padded(field: np.ndarray, time: int) -> np.ndarray:
    """Append zeros up to a number of steps."""
    padded = np.zeros((time, *field.shape[1:]), field.dtype)  # np.pad is slow
    padded[: len(field)] = field
    return padded


Revise: TypeAlias = Callable[[EpisodeBatch, np.random.Generator], EpisodeBatch]


class Task:
    """A generated task: a few sizes and one `sample` method.

    A subclass sets the sizes and overrides `sample`. It overrides `errors` and `metric`
    if its score is not the number of wrong bits.

    Attributes:
        observation_size: Number of input channels.
        target_size: Number of target channels.
        max_time: Number of steps of the longest episode.
        metric: Description of the quantity that `errors` returns.
        answers_bits: Whether model outputs are logits of bits, rather than numbers.

    Example:
        >>> class EchoTask(Task):
        ...     observation_size, target_size, max_time = 1, 1, 4
        ...
        ...     def sample(self, rng):
        ...         bits = rng.integers(0, 2, (self.max_time, 1)).astype("float32")
        ...         return Episode(bits, bits, np.ones(self.max_time, "float32"))
        >>> batch = EchoTask().batch(2, np.random.default_rng(0))
        >>> batch.inputs.shape, batch.mask.shape
        ((2, 4, 1), (2, 4))
        >>> EchoTask().errors(batch, batch.targets - 0.5).tolist()
        [0, 0]
    """

    observation_size: int
    target_size: int
    max_time: int
    metric: str = "wrong bits a sequence"
    answers_bits: bool = True

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw one episode.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode` of at most `max_time` steps.
        """
        raise NotImplementedError

    def batch(self, batch_size: int, rng: np.random.Generator) -> EpisodeBatch:
        """Draw several episodes.

        Every batch has the same shape, so that a model is compiled only once.

        Args:
            batch_size: Number of episodes.
            rng: `numpy.random.Generator`; the same state gives the same batch.

        Returns:
            `EpisodeBatch`, padded to `max_time` steps.

        Raises:
            ValueError: `batch_size` is not a positive integer.
        """
        check_positive_integers(batch_size=batch_size)
        episodes = [self.sample(rng) for _ in range(batch_size)]
        return padded_batch(episodes, self.max_time)

    def dataset(self, batch_size: int, steps: int, seed: int = 0) -> "EpisodeDataset":
        """Build a dataset for `model.fit` that draws new episodes in each epoch.

        Do not use it as validation data: its episodes change between epochs, and so
        would the validation metrics. Pass `tuple(task.batch(...))` there.

        Args:
            batch_size: Number of episodes in a batch.
            steps: Number of batches in an epoch.
            seed: Seed of the episodes; the same seed gives the same batches. An integer
                from 0 to 2^32 - 1. Defaults to 0.

        Returns:
            `EpisodeDataset`, a `keras.utils.PyDataset`.

        Raises:
            ValueError: `batch_size` or `steps` is not a positive integer, or `seed` is
                out of range.
        """
        return EpisodeDataset(self, batch_size, steps, seed)

    def errors(self, batch: EpisodeBatch, outputs: npt.ArrayLike) -> np.ndarray:
        """Compute the error of each sequence, in the unit that `metric` describes.

        Args:
            batch: `EpisodeBatch`.
            outputs: Model outputs, `(batch, max_time, target_size)`.

        Returns:
            `(batch,)`, at least 0.
        """
        return self.bit_errors(batch, outputs)

    @staticmethod
    def bit_errors(batch: EpisodeBatch, outputs: npt.ArrayLike) -> np.ndarray:
        """Count the wrong bits of each sequence at the steps where the mask is 1.

        Args:
            batch: `EpisodeBatch`.
            outputs: Logits, `(batch, max_time, target_size)`; above 0 means 1. NaN
                counts as wrong.

        Returns:
            `(batch,)`, integers of at least 0.
        """
        outputs = np.asarray(outputs)
        right = np.where(batch.targets > 0.5, outputs > 0, outputs <= 0)  # NaN is not
        wrong = ~right
        return np.sum(wrong * batch.mask[:, :, None], axis=(1, 2)).astype(int)

    def to_text(self, episode: Episode, outputs: npt.ArrayLike | None = None) -> str:
        """Draw an episode as text, one line per channel and one character per step.

        `.` is 0 and `#` is 1. A digit shows the tenths of another number of at least 0,
        a letter those of a negative one: `a` from 0 to -0.1, `j` from -0.9 on.

        Args:
            episode: `Episode`, padded or not.
            outputs: Logits, `(time, target_size)`, to draw below the targets. A wrong
                bit is `x` where the target is 1, `o` where it is 0. Defaults to `None`,
                for no outputs.

        Returns:
            Text with one line for each channel of inputs, targets and outputs.
        """
        scored = np.asarray(episode.mask) > 0
        lines: list[tuple[str, np.ndarray, np.ndarray | None]] = [
            ("inputs", row, None) for row in np.asarray(episode.inputs).T
        ]
        for channel, row in enumerate(np.asarray(episode.targets).T):
            lines.append(("targets", row, None))
            if outputs is not None:
                bits = np.asarray(outputs)[:, channel] > 0
                wrong = scored & (bits != (row > 0.5))
                lines.append(("outputs", np.where(scored, bits, 0.0), wrong))
        return "\n".join(
            f"{name:8}{_channel(row, wrong)}" for name, row, wrong in lines
        )

    @staticmethod
    def _check_range(low_name: str, low: int, high_name: str, high: int) -> None:
        """Raise a `ValueError` unless both are positive integers in this order."""
        check_positive_integers(**{low_name: low, high_name: high})
        if low > high:
            raise ValueError(
                f"Argument `{low_name}` must be at most `{high_name}`. "
                f"Received: {low_name}={low}, {high_name}={high}"
            )


def _channel(row: np.ndarray, wrong: np.ndarray | None) -> str:
    """Draw one channel; wrong bits are `o` (should be 0) or `x` (should be 1)."""
    characters = [_character(value) for value in row]
    if wrong is not None:
        characters = [
            ("o" if character == "#" else "x") if is_wrong else character
            for character, is_wrong in zip(characters, wrong, strict=True)
        ]
    return "".join(characters)


def _character(value: float) -> str:
    """Draw one number: `.` for 0, `#` for 1, else its tenths, as letters below 0."""
    if value in (0, 1):
        return ".#"[int(value)]
    tenths = min(9, int(10 * abs(value)))
    return "abcdefghij"[tenths] if value < 0 else str(tenths)


class EpisodeDataset(keras.utils.PyDataset):
    """Batches `(inputs, targets, mask)` of a task, each drawn from its own seed.

    Args:
        task: `Task` that draws the episodes.
        batch_size: Number of episodes in a batch.
        steps: Number of batches in an epoch.
        seed: Seed of the episodes. Together with the epoch and the index of a batch it
            determines that batch. An integer from 0 to 2^32 - 1. Defaults to 0.
        **kwargs: Keyword arguments of `keras.utils.PyDataset`: `workers`,
            `use_multiprocessing` and `max_queue_size`.

    Attributes:
        epoch: Index of the epoch, from 0.
        revise: `None`, or a function from an `EpisodeBatch` and a
            `numpy.random.Generator` to the `EpisodeBatch` to return instead, as
            `keras_dnc.DAgger` sets it.

    Raises:
        ValueError: `task` is not a `Task`, `batch_size` or `steps` is not a positive
            integer, or `seed` is out of range.

    Example:
        >>> from keras_dnc.tasks.copy import CopyTask
        >>> dataset = EpisodeDataset(CopyTask(max_length=4), batch_size=3, steps=10)
        >>> inputs, targets, mask = dataset[0]
        >>> len(dataset), inputs.shape, targets.shape, mask.shape
        (10, (3, 9, 9), (3, 9, 8), (3, 9))
    """

    def __init__(
        self, task: Task, batch_size: int, steps: int, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(task, Task):
            raise ValueError(f"Argument `task` must be a `Task`. Received: {task=}")
        self.task = task
        self.batch_size = positive_integer("batch_size", batch_size)
        self.steps = positive_integer("steps", steps)
        self.seed = random_seed("seed", seed)
        self.epoch = 0
        self.revise: Revise | None = None

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        batch = self.task.batch(self.batch_size, rng)
        return tuple(batch if self.revise is None else self.revise(batch, rng))

    def on_epoch_end(self) -> None:
        """Advance to the next epoch, whose episodes are new."""
        self.epoch += 1
