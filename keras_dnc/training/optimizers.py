"""Optimizers for weights of which an update touches a few rows."""

from typing import Any

import keras
from keras import ops

from keras_dnc import backend
from keras_dnc.backend.keras_internals import optimizer_moments

_REFUSED = (
    "amsgrad",
    "weight_decay",
    "use_ema",
    "gradient_accumulation_steps",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
)


@keras.saving.register_keras_serializable(package="keras_dnc")
class SparseAdam(keras.optimizers.Adam):
    """Adam whose update touches only rows that have a gradient.

    A row without a gradient keeps its moments and its value; Adam lets the moments fade
    and moves the row on. Where the gradient is sparse, as with
    `ProductKeyMemory(sparse_gradient=True)` on TensorFlow and PyTorch, nothing passes
    over the other rows at all. Where it is dense, as on JAX, the same numbers are
    computed from every row; a row counts as without a gradient if all of it is 0.

    Weights of one axis are updated as by Adam.

    Args:
        learning_rate: As in `keras.optimizers.Adam`, like all that follow. Not to be
            had are `amsgrad`, `weight_decay`, `use_ema` and
            `gradient_accumulation_steps`, which touch every row, and `clipnorm`,
            `global_clipnorm` and `clipvalue`, which Keras applies to each gradient of
            a row where it should to their sum.

    Raises:
        ValueError: One of these is given.

    Example:
        >>> optimizer = SparseAdam(1e-3)
        >>> float(optimizer.learning_rate) > 0
        True

    References:
        - Kingma and Ba 2015, Adam, algorithm 1, row by row.
    """

    def __init__(
        self, learning_rate: Any = 1e-3, name: str = "sparse_adam", **kwargs: Any
    ) -> None:
        for argument in _REFUSED:
            if kwargs.get(argument):
                raise ValueError(
                    f"Argument `{argument}` must be left out: Keras does not apply it "
                    f"row by row. Received: {argument}={kwargs[argument]!r}"
                )
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)

    def update_step(self, gradient, variable, learning_rate):
        """Update the rows of `variable` that have a gradient."""
        sparse = backend.rows_of_gradient(gradient)
        if sparse is not None:
            self._update_rows(*sparse, variable, learning_rate)
        elif len(variable.shape) < 2:
            super().update_step(gradient, variable, learning_rate)
        else:
            self._update_all(gradient, variable, learning_rate)

    def _update_rows(self, rows, values, variable, learning_rate):
        rows, values = _summed_by_row(rows, ops.cast(values, variable.dtype))
        slots = (*self._moments_of(variable), variable)
        old = [backend.take_rows(slot, rows, sparse_gradient=True) for slot in slots]
        new = self._step(values, *old, learning_rate)
        for slot, value in zip(slots, new, strict=True):
            backend.assign_rows(slot, rows, value)

    def _update_all(self, gradient, variable, learning_rate):
        gradient = ops.cast(gradient, variable.dtype)
        axes = tuple(range(1, len(variable.shape)))
        has_gradient = ops.any(ops.not_equal(gradient, 0), axis=axes, keepdims=True)
        slots = (*self._moments_of(variable), variable)
        old = [ops.convert_to_tensor(slot) for slot in slots]
        new = self._step(gradient, *old, learning_rate)
        for slot, value, before in zip(slots, new, old, strict=True):
            self.assign(slot, ops.where(has_gradient, value, before))

    def _moments_of(self, variable):
        return optimizer_moments(self, variable)

    def _step(self, gradient, momentum, velocity, value, learning_rate):
        """Give the new momentum, velocity and value."""
        step = ops.cast(self.iterations + 1, gradient.dtype)
        momentum = momentum + (gradient - momentum) * (1.0 - self.beta_1)
        velocity = velocity + (ops.square(gradient) - velocity) * (1.0 - self.beta_2)
        rate = ops.cast(learning_rate, gradient.dtype)
        rate = rate * ops.sqrt(1.0 - self.beta_2**step) / (1.0 - self.beta_1**step)
        value = value - rate * momentum / (ops.sqrt(velocity) + self.epsilon)
        return momentum, velocity, value


def _summed_by_row(rows, values):
    """Give rows in order, and at each place the sum of all values of its row."""
    order = ops.argsort(rows)
    rows = ops.take(rows, order, axis=0)
    is_new = ops.cast(rows[1:] != rows[:-1], "int32")
    first = ops.zeros_like(rows[:1], dtype="int32")
    group = ops.cumsum(ops.concatenate([first, is_new]))
    values = ops.take(values, order, axis=0)
    total = ops.segment_sum(values, group, num_segments=rows.shape[0])
    return rows, ops.take(total, group, axis=0)
