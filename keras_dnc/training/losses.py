"""Losses that do not depend on how much a batch is padded."""

from typing import Any

import keras
from keras import ops

from keras_dnc import backend
from keras_dnc.arguments import positive_integer
from keras_dnc.typing import DType, Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
class SequenceCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of logits: summed over channels and time, mean over batch.

    This is the loss of the tasks in deepmind/dnc, in nats per sequence. Pass the mask
    of the scored steps as `sample_weight`, `(batch, time)`.

    Args:
        name: Name of the loss. Defaults to `"sequence_crossentropy"`.
        dtype: Dtype of the computation. Defaults to `None`, for Keras's default.

    Call arguments:
        y_true: `(batch, time, channels)`, in [0, 1].
        y_pred: Logits, `(batch, time, channels)`.
        sample_weight: `(batch, time)`, 1 at steps that are scored, else 0. Defaults to
            `None`, for all steps.

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

    def __init__(
        self, name: str = "sequence_crossentropy", dtype: DType = None
    ) -> None:
        # Of Keras's reductions, only "sum" does not scale a mask by its length.
        super().__init__(name=name, reduction="sum", dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Compute the loss of each step, to be weighted and summed by Keras.

        Args:
            y_true: `(batch, time, channels)`, in [0, 1].
            y_pred: Logits, `(batch, time, channels)`.

        Returns:
            `(batch, time)`, divided by the batch size of all replicas.
        """
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = ops.cast(y_true, y_pred.dtype)
        nats = ops.binary_crossentropy(y_true, y_pred, from_logits=True)
        return ops.sum(nats, axis=-1) / global_batch_size(y_pred)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = super().get_config()
        config.pop("reduction")
        return config


@keras.saving.register_keras_serializable(package="keras_dnc")
class GroupedCrossentropy(keras.losses.Loss):
    """Cross-entropy of several softmaxes: summed over groups and time, mean over batch.

    The channels are groups of `group_size` logits, one softmax each, such as the digits
    of `keras_dnc.tasks.graphs`. Pass the mask of the scored steps as `sample_weight`.
    The loss is in nats per sequence.

    Args:
        group_size: Number of classes of each softmax. Defaults to 10.
        name: Name of the loss. Defaults to `"grouped_crossentropy"`.
        dtype: Dtype of the computation. Defaults to `None`, for Keras's default.

    Call arguments:
        y_true: `(batch, time, groups * group_size)`, one-hot in each group, or zeros in
            a group that is not scored.
        y_pred: Logits, `(batch, time, groups * group_size)`.
        sample_weight: `(batch, time)`, 1 at steps that are scored, else 0. Defaults to
            `None`, for all steps.

    Returns:
        A scalar.

    Raises:
        ValueError: `group_size` is not a positive integer.

    Example:
        >>> import numpy as np
        >>> digits = np.eye(10)[[[4, 2]]].reshape(1, 1, 20)  # one step, two digits
        >>> round(float(GroupedCrossentropy()(digits, np.zeros((1, 1, 20)))), 4)
        4.6052

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, Methods, "Graph task descriptions".
    """

    def __init__(
        self,
        group_size: int = 10,
        name: str = "grouped_crossentropy",
        dtype: DType = None,
    ) -> None:
        # Of Keras's reductions, only "sum" does not scale a mask by its length.
        super().__init__(name=name, reduction="sum", dtype=dtype)
        self.group_size = positive_integer("group_size", group_size)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Compute the loss of each step, to be weighted and summed by Keras.

        Args:
            y_true: `(batch, time, groups * group_size)`.
            y_pred: Logits, `(batch, time, groups * group_size)`.

        Returns:
            `(batch, time)`, divided by the batch size of all replicas.
        """
        logits = ops.convert_to_tensor(y_pred)
        batch_size, time = ops.shape(logits)[:2]
        shape = (batch_size, time, -1, self.group_size)
        log_probabilities = ops.log_softmax(ops.reshape(logits, shape), axis=-1)
        targets = ops.reshape(ops.cast(y_true, logits.dtype), shape)
        nats = -ops.sum(targets * log_probabilities, axis=(-1, -2))
        return nats / global_batch_size(logits)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = {**super().get_config(), "group_size": self.group_size}
        config.pop("reduction")
        return config


def global_batch_size(outputs: Tensor) -> Tensor:
    """Return the batch size of all replicas of a strategy of `tf.distribute`.

    Keras divides a loss by the number of replicas, whose losses are then added up; for
    the reduction "sum" it does not.

    Args:
        outputs: `(batch, ...)`, those of one replica.

    Returns:
        A scalar of the dtype of `outputs`.
    """
    size = ops.shape(outputs)[0] * backend.num_replicas()
    return ops.cast(size, outputs.dtype)
