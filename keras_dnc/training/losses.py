"""Losses whose size does not depend on how far a batch was padded."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_dnc")
class SequenceCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of logits: summed over channels and time, mean over batch.

    The cost of deepmind/dnc's tasks, in nats per sequence. Pass the mask of the answer
    as `sample_weight`, `(batch, time)`.

    Call arguments:
        y_true: `(batch, time, channels)`, in [0, 1].
        y_pred: Logits, `(batch, time, channels)`.

    Returns:
        A scalar.

    Example:
        >>> import numpy as np
        >>> loss = SequenceCrossentropy()
        >>> mask = np.array([[0.0, 1.0, 1.0]])
        >>> cost = loss(np.ones((1, 3, 2)), np.zeros((1, 3, 2)), sample_weight=mask)
        >>> round(float(cost), 4)  # 4 bits, each log 2
        2.7726
    """

    def __init__(self, name: str = "sequence_crossentropy", dtype: Any = None) -> None:
        # Of Keras's reductions, "sum" alone does not scale a mask by its length.
        super().__init__(name=name, reduction="sum", dtype=dtype)

    def call(self, y_true, y_pred):
        """Give `(batch, time)`; Keras weighs it and sums."""
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = ops.cast(y_true, y_pred.dtype)
        nats = ops.binary_crossentropy(y_true, y_pred, from_logits=True)
        batch_size = ops.cast(ops.shape(y_pred)[0], y_pred.dtype)
        return ops.sum(nats, axis=-1) / batch_size

    def get_config(self):
        """Give the constructor's arguments."""
        config = super().get_config()
        config.pop("reduction")
        return config
