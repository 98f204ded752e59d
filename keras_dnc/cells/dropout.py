"""Dropout with one mask for all steps of a sequence, created before the loop over time.

A mask that is created inside the loop is a leaked tracer on JAX, and back-propagation
that takes a step twice has to use the same mask twice. Keras creates the masks of a
cell before its loop; the functions here do so for the cells and layers inside a cell.
"""

from typing import Any

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import probability
from keras_dnc.arguments import random_seed
from keras_dnc.backend import keras_internals
from keras_dnc.backend.keras_internals import DropoutRNNCell
from keras_dnc.cells.controllers import cell_output_size
from keras_dnc.cells.controllers import unstacked
from keras_dnc.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
class SequenceDropout(keras.layers.Layer, DropoutRNNCell):
    r"""Dropout inside a cell, with the same mask at every step of a sequence.

    $$y_t = d \circ x_t, \quad d_j = \frac{b_j}{1 - \mathrm{rate}}, \quad
    b_j \sim \mathrm{Bernoulli}(1 - \mathrm{rate})$$

    This layer is meant for authors of memory cells. A `MemoryCell` lists it in
    `parts_with_dropout`, so that its mask is reset after the loop, and extends
    `get_dropout_mask` to create its mask before the loop. Outside of cells, use
    `keras.layers.Dropout`.

    Args:
        rate: Fraction of the features to drop, at least 0 and below 1.
        seed: Seed of the masks, an integer from 0 to 2^32 - 1; `None` for a random
            seed. Defaults to `None`.
        **kwargs: `name`, `trainable` and `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        `(batch, features)`: 0 or, for features that are not dropped, the input divided
        by `1 - rate`.

    Raises:
        ValueError: If `rate` or `seed` is out of range.

    Example:
        >>> import keras_dnc
        >>> cell = keras_dnc.DNCCell(3, controller=8, bypass_dropout=0.2)
        >>> cell.bypass.rate
        0.2

    References:
        - Gal and Ghahramani 2016, A theoretically grounded application of dropout in
          recurrent neural networks.
    """

    recurrent_dropout = 0.0  # an attribute that `DropoutRNNCell` needs

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = self.dropout = probability("rate", rate)
        self.seed = None if seed is None else random_seed("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Multiply by the mask."""
        if not training or not self.rate:
            return inputs
        return inputs * self.get_dropout_mask(inputs)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class HoldsDropout(DropoutRNNCell):
    """Mixin for a cell around a controller, whose dropout masks are those of its parts.

    Keras calls the methods of `DropoutRNNCell` before and after its loop, with the
    input of the outer cell, whereas the masks must have the width of the controller's
    input. A subclass has `controller` and `controller_input_size`.
    """

    controller: keras.Layer

    @property
    def parts_with_dropout(self) -> list[keras.Layer]:
        """The cells and layers inside that may hold dropout masks, in a fixed order."""
        return [self.controller]

    def controller_input_size(self, input_size: int) -> int:
        """Return the number of features that the controller gets.

        Args:
            input_size: Features of the input of the cell.

        Returns:
            Features of the input of the controller.
        """
        raise NotImplementedError

    def get_dropout_mask(self, step_input: Tensor) -> None:
        """Create the controller's dropout masks, before the loop.

        Args:
            step_input: `(batch, features)`, an input of the cell.
        """
        width = self.controller_input_size(step_input.shape[-1])
        prime_dropout(self.controller, ops.shape(step_input)[0], width)

    def get_recurrent_dropout_mask(self, step_input: Tensor) -> None:
        """Do nothing: `get_dropout_mask` has created both masks."""

    def reset_dropout_mask(self) -> None:
        """Delete the dropout masks of all parts, after the loop."""
        reset_dropout(self)

    def reset_recurrent_dropout_mask(self) -> None:
        """Do nothing: `reset_dropout_mask` has deleted both masks."""


def prime_dropout(cell: keras.Layer, batch_size: Tensor, input_size: int) -> None:
    """Create the dropout masks of a Keras RNN cell, or of each cell of a stack.

    Args:
        cell: A Keras RNN cell.
        batch_size: Sequences in the batch, an integer or a scalar tensor.
        input_size: Features of the input of the cell.
    """
    for child in unstacked(cell):
        if isinstance(child, DropoutRNNCell):
            state_size = tree.flatten(child.state_size)[0]
            dtype = child.compute_dtype
            child.get_dropout_mask(ops.zeros((batch_size, input_size), dtype))
            child.get_recurrent_dropout_mask(ops.zeros((batch_size, state_size), dtype))
        input_size = cell_output_size(child)


def reset_dropout(cell: keras.Layer) -> None:
    """Delete the dropout masks of a cell and of all cells and layers inside it.

    Args:
        cell: A Keras RNN cell.
    """
    for child in _with_masks(cell):
        child.reset_dropout_mask()
        child.reset_recurrent_dropout_mask()


def get_dropout_masks(cell: keras.Layer) -> list[Any]:
    """Return the dropout masks that a cell has cached.

    Args:
        cell: A Keras RNN cell.

    Returns:
        Nested lists of tensors, `None` for a mask that is not cached.
    """
    return [keras_internals.dropout_masks(child) for child in _with_masks(cell)]


def set_dropout_masks(cell: keras.Layer, masks: list[Any]) -> None:
    """Replace the dropout masks that a cell has cached.

    Args:
        cell: A Keras RNN cell.
        masks: Nested lists from `get_dropout_masks`.
    """
    for child, values in zip(_with_masks(cell), masks, strict=True):
        keras_internals.set_dropout_masks(child, values)


def _with_masks(cell: keras.Layer) -> list[Any]:
    """Return the cells and layers in a cell that have dropout masks of their own."""
    if isinstance(cell, keras.layers.StackedRNNCells):
        parts = cell.cells
    else:
        parts = getattr(cell, "parts_with_dropout", None)
    if parts is not None:
        return [found for part in parts for found in _with_masks(part)]
    return [cell] if isinstance(cell, DropoutRNNCell) else []
