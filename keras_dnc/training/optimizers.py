"""Optimizers for large weights of which an update touches only a few rows."""

from typing import Any

import keras
from keras import ops

from keras_dnc import backend
from keras_dnc.backend.keras_internals import optimizer_moments
from keras_dnc.typing import Tensor, Tensors

_UNSUPPORTED = (
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
    """Adam that updates only the rows that have a gradient.

    A row without a gradient keeps its value and its moments; in Adam its moments decay
    and the row keeps moving. Where the gradient is sparse, as with
    `ProductKeyMemory(sparse_gradient=True)` on TensorFlow and PyTorch, the other rows
    are not read at all. Where it is dense, as on JAX, the same result is computed from
    all rows; a row has no gradient if its gradient is 0 everywhere.

    Weights with fewer than two axes are updated as by Adam.

    `amsgrad`, `weight_decay`, `use_ema` and `gradient_accumulation_steps` are not
    supported, because they touch every row. `clipnorm`, `global_clipnorm` and
    `clipvalue` are not supported either: Keras applies them to each occurrence of a row
    in a sparse gradient rather than to their sum.

    Args:
        learning_rate: A float or a `keras.optimizers.schedules.LearningRateSchedule`.
            Defaults to 0.001.
        name: Name of the optimizer. Defaults to `"sparse_adam"`.
        **kwargs: Keyword arguments of `keras.optimizers.Adam`: `beta_1`, which defaults
            to 0.9; `beta_2`, which defaults to 0.999; `epsilon`, which defaults to
            1e-7; and `loss_scale_factor`, which defaults to `None`.

    Raises:
        ValueError: An argument is given that is not supported.

    Example:
        >>> weight = keras.Variable([[1.0, 1.0], [1.0, 1.0]])
        >>> optimizer = SparseAdam(learning_rate=0.5)
        >>> gradient = ops.convert_to_tensor([[0.0, 0.0], [1.0, 1.0]])
        >>> optimizer.apply([gradient], [weight])
        >>> ops.convert_to_numpy(weight).round(3).tolist()
        [[1.0, 1.0], [0.5, 0.5]]

    References:
        - Kingma and Ba 2015, Adam, algorithm 1, applied to each row.
    """

    def __init__(
        self, learning_rate: Any = 1e-3, name: str = "sparse_adam", **kwargs: Any
    ) -> None:
        for argument in _UNSUPPORTED:
            if kwargs.get(argument):
                raise ValueError(
                    f"Argument `{argument}` must be left out: Keras does not apply it "
                    f"row by row. Received: {argument}={kwargs[argument]!r}"
                )
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Update the rows of `variable` that have a gradient.

        Args:
            gradient: Gradient with respect to `variable`: a dense tensor, or a sparse
                one of the backend.
            variable: Weight to update.
            learning_rate: Learning rate of this step.
        """
        sparse = backend.rows_of_gradient(gradient)
        if sparse is not None:
            self._update_rows(*sparse, variable, learning_rate)
        elif len(variable.shape) < 2:
            super().update_step(gradient, variable, learning_rate)
        else:
            self._update_all(gradient, variable, learning_rate)

    def _update_rows(
        self,
        rows: Tensor,
        values: Tensor,
        variable: keras.Variable,
        learning_rate: Tensor,
    ) -> None:
        """Update the rows of a sparse gradient."""
        rows, values = _sum_by_row(rows, ops.cast(values, variable.dtype))
        slots = self._slots_of(variable)
        old = [backend.take_rows(slot, rows, sparse_gradient=True) for slot in slots]
        new = self._step(values, old, learning_rate)
        for slot, value in zip(slots, new, strict=True):
            backend.assign_rows(slot, rows, value)

    def _update_all(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Update the rows of a dense gradient that are not 0 everywhere."""
        gradient = ops.cast(gradient, variable.dtype)
        axes = tuple(range(1, len(variable.shape)))
        has_gradient = ops.any(ops.not_equal(gradient, 0), axis=axes, keepdims=True)
        slots = self._slots_of(variable)
        old = [ops.convert_to_tensor(slot) for slot in slots]
        new = self._step(gradient, old, learning_rate)
        for slot, value, before in zip(slots, new, old, strict=True):
            self.assign(slot, ops.where(has_gradient, value, before))

    def _slots_of(self, variable: keras.Variable) -> tuple[keras.Variable, ...]:
        """Return the momentum and velocity of a variable, and the variable itself."""
        return (*optimizer_moments(self, variable), variable)

    def _step(self, gradient: Tensor, old: Tensors, learning_rate: Tensor) -> Tensors:
        """Compute the new momentum, velocity and value from the old ones."""
        momentum, velocity, value = old
        step = ops.cast(self.iterations + 1, gradient.dtype)
        momentum = momentum + (gradient - momentum) * (1.0 - self.beta_1)
        velocity = velocity + (ops.square(gradient) - velocity) * (1.0 - self.beta_2)
        rate = ops.cast(learning_rate, gradient.dtype)
        rate = rate * ops.sqrt(1.0 - self.beta_2**step) / (1.0 - self.beta_1**step)
        value = value - rate * momentum / (ops.sqrt(velocity) + self.epsilon)
        return [momentum, velocity, value]


def _sum_by_row(rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Sort rows, and replace each value by the sum of all values of its row."""
    order = ops.argsort(rows)
    rows = ops.take(rows, order, axis=0)
    is_new = ops.cast(rows[1:] != rows[:-1], "int32")
    first = ops.zeros_like(rows[:1], dtype="int32")
    group = ops.cumsum(ops.concatenate([first, is_new]))
    values = ops.take(values, order, axis=0)
    total = ops.segment_sum(values, group, num_segments=rows.shape[0])
    return rows, ops.take(total, group, axis=0)
