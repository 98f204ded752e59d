"""Dropout with one mask for all steps of a sequence, made before the loop over time.

A mask first made inside the loop is a leaked tracer on JAX, and back-propagation that
takes a step twice must drop the same numbers twice. Keras asks each cell for its masks
before its loop; the functions here pass that on to all that is inside a cell.
"""

from typing import Any

import keras
from keras import ops
from keras import tree

from keras_dnc.arguments import probability
from keras_dnc.backend import keras_internals
from keras_dnc.backend.keras_internals import DropoutRNNCell
from keras_dnc.cells.controllers import cell_output_size
from keras_dnc.cells.controllers import unstacked


@keras.saving.register_keras_serializable(package="keras_dnc")
class SequenceDropout(keras.layers.Layer, DropoutRNNCell):
    r"""Dropout inside a cell, the same numbers dropped at every step of a sequence.

    $$y_t = d \circ x_t, \quad d_j = \frac{b_j}{1 - \mathrm{rate}}, \quad
    b_j \sim \mathrm{Bernoulli}(1 - \mathrm{rate})$$

    For authors of memory cells: a `MemoryCell` that lists this layer in its
    `parts_with_dropout` has its mask dropped after the loop, and makes it before by
    `get_dropout_mask`. Outside of a cell, take `keras.layers.Dropout`.

    Args:
        rate: Fraction dropped, at least 0 and below 1.
        seed: Of the masks, as in `keras.layers.Dropout`.
        **kwargs: `name` and `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`.
        training: Whether anything is dropped.

    Returns:
        `(batch, features)`, what is kept divided by `1 - rate`.

    Raises:
        ValueError: A rate outside of its range.

    Example:
        >>> import keras_dnc
        >>> cell = keras_dnc.DNCCell(3, controller=8, bypass_dropout=0.2)
        >>> cell.bypass.rate
        0.2

    References:
        - Gal and Ghahramani 2016, A theoretically grounded application of dropout in
          recurrent neural networks.
    """

    recurrent_dropout = 0.0  # what Keras's hooks ask of a cell

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = self.dropout = probability("rate", rate)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        """Multiply by the mask."""
        if not training or not self.rate:
            return inputs
        return inputs * self.get_dropout_mask(inputs)

    def get_config(self):
        """Give the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


def prime_dropout(cell, batch_size, input_size):
    """Make the dropout masks of a Keras RNN cell, or of each cell of a stack."""
    for child in unstacked(cell):
        if isinstance(child, DropoutRNNCell):
            state_size = tree.flatten(child.state_size)[0]
            dtype = child.compute_dtype
            child.get_dropout_mask(ops.zeros((batch_size, input_size), dtype))
            child.get_recurrent_dropout_mask(ops.zeros((batch_size, state_size), dtype))
        input_size = cell_output_size(child)


def reset_dropout(cell):
    """Drop the dropout masks of all that is inside `cell`."""
    for child in _with_masks(cell):
        child.reset_dropout_mask()
        child.reset_recurrent_dropout_mask()


def get_dropout_masks(cell):
    """Give the dropout masks that `cell` holds: nested lists of tensors and `None`."""
    return [keras_internals.dropout_masks(child) for child in _with_masks(cell)]


def set_dropout_masks(cell, masks):
    """Have `cell` hold dropout masks as `get_dropout_masks` gives them."""
    for child, values in zip(_with_masks(cell), masks, strict=True):
        keras_internals.set_dropout_masks(child, values)


def _with_masks(cell):
    """List the cells and layers inside `cell` that hold dropout masks of their own."""
    if isinstance(cell, keras.layers.StackedRNNCells):
        parts = cell.cells
    else:
        parts = getattr(cell, "parts_with_dropout", None)
    if parts is not None:
        return [found for part in parts for found in _with_masks(part)]
    return [cell] if isinstance(cell, DropoutRNNCell) else []
