"""What every generated task shares: batching, padding, masks, errors."""

import numbers
from typing import Any
from typing import NamedTuple

import keras
import numpy as np


def check_positive_integers(**sizes):
    """Raise a `ValueError` unless each argument is an integer of at least 1."""
    for name, size in sizes.items():
        is_integer = isinstance(size, numbers.Integral) and size is not True
        if not is_integer or size < 1:
            raise ValueError(
                f"Argument `{name}` must be a positive integer. "
                f"Received: {name}={size!r}"
            )


class Episode(NamedTuple):
    """One sequence of a task.

    Attributes:
        inputs: `(time, observation_size)`, float32.
        targets: `(time, target_size)`, float32 in [0, 1].
        mask: `(time,)`, float32, 1 where an answer is asked for.
    """

    inputs: np.ndarray
    targets: np.ndarray
    mask: np.ndarray


class EpisodeBatch(NamedTuple):
    """Several sequences, padded with zeros to the task's longest one.

    Attributes:
        inputs: `(batch, max_time, observation_size)`, float32.
        targets: `(batch, max_time, target_size)`, float32 in [0, 1].
        mask: `(batch, max_time)`, float32, 1 where an answer is asked for.
    """

    inputs: np.ndarray
    targets: np.ndarray
    mask: np.ndarray


class Task:
    """A generated task: a few sizes and one `sample` method.

    Attributes:
        observation_size: Channels of the input.
        target_size: Channels of the target.
        max_time: Steps of the longest episode.
    """

    observation_size: int
    target_size: int
    max_time: int

    def sample(self, rng):
        """Draw one `Episode`.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.
        """
        raise NotImplementedError

    def batch(self, batch_size, rng):
        """Draw several episodes.

        Every batch has the same shape, so that a compiled model is compiled once.

        Args:
            batch_size: Number of episodes.
            rng: `numpy.random.Generator`.

        Returns:
            `EpisodeBatch`.

        Raises:
            ValueError: `batch_size` is no positive integer.
        """
        check_positive_integers(batch_size=batch_size)
        episodes = [self.sample(rng) for _ in range(batch_size)]
        return EpisodeBatch(
            *(
                np.stack([self._pad(field) for field in fields])
                for fields in zip(*episodes, strict=True)
            )
        )

    def dataset(self, batch_size, steps, seed=0):
        """Give a `keras.utils.PyDataset` for `model.fit`: fresh episodes each epoch.

        Args:
            batch_size: Sequences in a batch.
            steps: Batches in an epoch.
            seed: The same seed gives the same batches.
        """
        check_positive_integers(batch_size=batch_size, steps=steps)
        return EpisodeDataset(self, batch_size, steps, seed)

    @staticmethod
    def bit_errors(batch, outputs):
        """Count wrong bits where an answer is asked for.

        Args:
            batch: `EpisodeBatch`.
            outputs: Logits, `(batch, max_time, target_size)`; above 0 means 1.

        Returns:
            `(batch,)`, wrong bits in each sequence.
        """
        wrong = (np.asarray(outputs) > 0) != (batch.targets > 0.5)
        return np.sum(wrong * batch.mask[:, :, None], axis=(1, 2)).astype(int)

    def _pad(self, field):
        missing = self.max_time - len(field)
        return np.pad(field, [(0, missing)] + [(0, 0)] * (field.ndim - 1))

    @staticmethod
    def _check_range(low_name, low, high_name, high):
        check_positive_integers(**{low_name: low, high_name: high})
        if low > high:
            raise ValueError(
                f"Argument `{low_name}` must be at most `{high_name}`. "
                f"Received: {low_name}={low}, {high_name}={high}"
            )


class EpisodeDataset(keras.utils.PyDataset):
    """Batches `(inputs, targets, mask)` of a task, each drawn from its own seed.

    Args:
        task: `Task`.
        batch_size: Sequences in a batch.
        steps: Batches in an epoch.
        seed: With the epoch and the batch's number, what a batch is drawn from.
        **kwargs: As in `keras.utils.PyDataset`.
    """

    def __init__(
        self, task, batch_size: int, steps: int, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.task = task
        self.batch_size = batch_size
        self.steps = steps
        self.seed = seed
        self.epoch = 0

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, self.epoch, index])
        return tuple(self.task.batch(self.batch_size, rng))

    def on_epoch_end(self):
        """Go on to fresh episodes."""
        self.epoch += 1
