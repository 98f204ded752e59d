"""MemoryRNN: `keras.layers.RNN` that refuses what Keras's loops stumble over."""

import keras


@keras.saving.register_keras_serializable(package="keras_dnc")
class MemoryRNN(keras.layers.RNN):
    """`keras.layers.RNN`, with clear errors for sequences no loop can run over.

    A drop-in: the same arguments, numbers and weights. Given a sequence of length 0,
    `keras.layers.RNN` itself fails with an `IndexError` of the backend before any cell
    is asked; this layer says what is wrong.

    Args:
        cell: A cell of this package, or any Keras RNN cell.
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
