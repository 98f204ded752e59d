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
        metric: What `errors` counts, in words.
        answers_bits: Whether outputs are logits of bits, rather than numbers.
    """

    observation_size: int
    target_size: int
    max_time: int
    metric = "wrong bits a sequence"
    answers_bits = True

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

        As validation data they are fresh each time, too, and the figure of one epoch
        is better than that of another by luck: pass `tuple(task.batch(...))` there.

        Args:
            batch_size: Sequences in a batch.
            steps: Batches in an epoch.
            seed: The same seed gives the same batches.
        """
        check_positive_integers(batch_size=batch_size, steps=steps)
        return EpisodeDataset(self, batch_size, steps, seed)

    def errors(self, batch: EpisodeBatch, outputs):
        """Give what the task is measured in, `metric`, for each sequence, `(batch,)`.

        Args:
            batch: `EpisodeBatch`.
            outputs: `(batch, max_time, target_size)`.
        """
        return self.bit_errors(batch, outputs)

    @staticmethod
    def bit_errors(batch, outputs):
        """Count wrong bits where an answer is asked for.

        Args:
            batch: `EpisodeBatch`.
            outputs: Logits, `(batch, max_time, target_size)`; above 0 means 1.

        Returns:
            `(batch,)`, wrong bits in each sequence.
        """
        outputs = np.asarray(outputs)
        right = np.where(batch.targets > 0.5, outputs > 0, outputs <= 0)  # NaN is not
        wrong = ~right
        return np.sum(wrong * batch.mask[:, :, None], axis=(1, 2)).astype(int)

    def to_text(self, episode, outputs=None):
        """Draw an episode as text, a row a channel: `.` is 0, `#` is 1, else tenths.

        Tenths below 0 are letters: `a` from 0 to -0.1, `j` from -0.9 on.

        Args:
            episode: `Episode`, or one row of an `EpisodeBatch`.
            outputs: Logits, `(time, target_size)`, to draw beside the targets, or
                `None`. A wrong bit is `x` where the target is 1, `o` where it is 0.

        Returns:
            Text of one line for each channel of inputs, targets and outputs.
        """
        asked = np.asarray(episode.mask) > 0
        lines = [("inputs", row, None) for row in np.asarray(episode.inputs).T]
        for channel, row in enumerate(np.asarray(episode.targets).T):
            lines.append(("targets", row, None))
            if outputs is not None:
                said = np.asarray(outputs)[:, channel] > 0
                wrong = asked & (said != (row > 0.5))
                lines.append(("outputs", np.where(asked, said, 0.0), wrong))
        return "\n".join(f"{name:8}{_drawn(row, wrong)}" for name, row, wrong in lines)

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


def _drawn(row, wrong):
    """Draw one channel; where `wrong` is true, what was missed or said for nothing."""
    signs = [_sign(value) for value in row]
    if wrong is not None:
        signs = [
            ("o" if sign == "#" else "x") if is_wrong else sign
            for sign, is_wrong in zip(signs, wrong, strict=True)
        ]
    return "".join(signs)


def _sign(value):
    """One character for a number: tenths between 0 and 1, letters below 0."""
    if value in (0, 1):
        return ".#"[int(value)]
    tenths = min(9, int(10 * abs(value)))
    return "abcdefghij"[tenths] if value < 0 else str(tenths)


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
