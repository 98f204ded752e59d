"""The order of training data, determined by a seed and the epoch."""

from typing import Any

import keras
import numpy as np

from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import probability
from keras_dnc.arguments import random_seed
from keras_dnc.arguments import switch

_BATCH_SIZE = 32  # as in `model.fit`


class ShuffledArrays(keras.utils.PyDataset):
    """Batches of arrays, in an order that follows from a seed and the epoch.

    Keras shuffles arrays itself, but in an order that a resumed run cannot restore.

    Args:
        arrays: Tuple of inputs, and targets and sample weights if there are any: each
            an array, or a dict, list or tuple of arrays, all of the same length.
        batch_size: Number of examples in a batch; the last one may be smaller.
        shuffle: Whether to draw a new order of the examples in each epoch.
        seed: Seed of the orders; the same seed gives the same orders.

    Attributes:
        epoch: Index of the epoch whose order is used.

    Raises:
        ValueError: The arrays are of different lengths, `batch_size` is not a positive
            integer, or `shuffle` is not a bool.

    Example:
        >>> batches = ShuffledArrays((np.arange(4),), 2, shuffle=True, seed=0)
        >>> first = [batch.tolist() for (batch,) in batches]
        >>> batches.on_epoch_end()
        >>> first == [batch.tolist() for (batch,) in batches]
        False
        >>> batches.epoch = 0
        >>> first == [batch.tolist() for (batch,) in batches]
        True
    """

    def __init__(
        self, arrays: tuple[Any, ...], batch_size: int, shuffle: bool, seed: int
    ) -> None:
        super().__init__()
        self.arrays = arrays = keras.tree.map_structure(_array, arrays)
        leaves = keras.tree.flatten(arrays)
        lengths = {len(array) for array in leaves if array is not None}
        if len(lengths) != 1:
            raise ValueError(
                "Argument `arrays` must be arrays of the same length. "
                f"Received: arrays of the lengths {sorted(lengths)}"
            )
        (self.length,) = lengths
        self.batch_size = positive_integer("batch_size", batch_size)
        self.shuffle = switch("shuffle", shuffle)
        self.seed = random_seed("seed", seed)
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """Index of the epoch whose order is used."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = np.arange(self.length)
        if self.shuffle:
            np.random.default_rng([self.seed, epoch]).shuffle(self._order)

    def __len__(self) -> int:
        return -(-self.length // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        return _rows(self.arrays, rows)

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self.epoch += 1


def in_order(
    batches: Any, seed: int, arguments: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Make the order of the arguments of `model.fit` follow from a seed and the epoch.

    Args:
        batches: First argument of `model.fit`: arrays, a `keras.utils.PyDataset`, a
            `tf.data.Dataset` or a PyTorch `DataLoader`.
        seed: Seed of the order of arrays.
        arguments: Further keyword arguments of `model.fit`.

    Returns:
        `(batches, arguments)`. Arrays have become `ShuffledArrays`; anything else is as
        before.

    Raises:
        ValueError: The position in the data cannot be restored: `batches` is a Python
            generator, or `steps_per_epoch` is given.
    """
    if arguments.get("steps_per_epoch") is not None or hasattr(batches, "__next__"):
        raise ValueError(
            "Argument `batches` must be data of which each epoch is one pass: the "
            "position in a generator, or in data with `steps_per_epoch`, cannot be "
            f"restored. Received: batches={type(batches).__name__}, "
            f"steps_per_epoch={arguments.get('steps_per_epoch')}"
        )
    if not all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(batches)):
        return batches, arguments
    arguments = dict(arguments)
    data: tuple[Any, ...] = (
        batches,
        arguments.pop("y", None),
        arguments.pop("sample_weight", None),
    )
    while data[-1] is None:
        data = data[:-1]
    size = arguments.pop("batch_size", None) or _BATCH_SIZE
    arguments.setdefault("validation_batch_size", size)
    split = arguments.pop("validation_split", 0.0)
    if split and arguments.get("validation_data") is None:
        data, arguments["validation_data"] = _split(data, split)
    shuffle = arguments.pop("shuffle", True)
    # Else Keras would also shuffle the batches of `ShuffledArrays`.
    arguments["shuffle"] = False
    return ShuffledArrays(data, size, shuffle, seed), arguments


def _split(
    data: tuple[Any, ...], validation_split: float
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Split the last fraction of each array off, as `model.fit` does."""
    probability("validation_split", validation_split)
    length = len(keras.tree.flatten(data)[0])
    start = int(np.floor(length * (1.0 - validation_split)))
    return _rows(data, slice(None, start)), _rows(data, slice(start, None))


def _rows(arrays: tuple[Any, ...], rows: np.ndarray | slice) -> tuple[Any, ...]:
    """Take rows of each array; `None` remains `None`."""
    return keras.tree.map_structure(
        lambda array: None if array is None else array[rows], arrays
    )


def _array(values: Any) -> np.ndarray | None:
    """Convert to a NumPy array; `None` remains `None`."""
    return None if values is None else np.asarray(values)
