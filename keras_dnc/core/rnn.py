"""MemoryRNN: `keras.layers.RNN` that refuses what Keras's loops stumble over."""

import keras

from keras_dnc.core.state import MemoryCell


@keras.saving.register_keras_serializable(package="keras_dnc")
class MemoryRNN(keras.layers.RNN):
    """`keras.layers.RNN`, without what Keras's own stumbles over.

    A drop-in: the same arguments, numbers and weights. Two things differ. Given a
    sequence of length 0, `keras.layers.RNN` fails with an `IndexError` of the backend
    before any cell is asked; this layer says what is wrong. Given a list of memory
    cells under a mixed policy, `keras.layers.RNN` casts their states to half
    precision between the steps and fails; this layer leaves them in float32.

    Args:
        cell: A cell of this package, any Keras RNN cell, or a list of cells.
        **kwargs: As in `keras.layers.RNN`.

    Call arguments:
        sequences: `(batch, time, features)`, time at least 1.
        initial_state: List of states, as in `keras.layers.RNN`.
        mask: `(batch, time)`, as in `keras.layers.RNN`.
        training: Whether dropout is on.

    Raises:
        ValueError: Sequences of another rank, or of length 0.

    Example:
        >>> import keras_dnc
        >>> cell = keras_dnc.DNCCell(5, controller=64, memory_size=16)
        >>> MemoryRNN(cell, return_sequences=True)(keras.Input((None, 6))).shape
        (None, None, 5)
    """

    def __init__(self, cell, **kwargs):
        if isinstance(cell, list | tuple) and any(_is_memory(child) for child in cell):
            policy = next(child.dtype_policy for child in cell if _is_memory(child))
            cell = keras.layers.StackedRNNCells(cell, dtype=policy)
        super().__init__(cell, **kwargs)

    def call(self, sequences, initial_state=None, mask=None, training=False):
        """Run the cell over the sequences."""
        shape = tuple(sequences.shape)
        if len(shape) != 3 or shape[1] == 0:
            raise ValueError(
                "Argument `sequences` must have shape (batch, time, features), time at "
                f"least 1. Received: sequences of shape {shape}"
            )
        return super().call(
            sequences, initial_state=initial_state, mask=mask, training=training
        )


def _is_memory(cell):
    return isinstance(cell, MemoryCell)
