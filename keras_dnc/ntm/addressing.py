"""Where a head of the Neural Turing Machine looks (Graves et al. 2014, section 3.3)."""

from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_dnc.arguments import check_shape
from keras_dnc.cells.content import CosineWeights
from keras_dnc.cells.precision import full_precision
from keras_dnc.ops.similarity import oneplus
from keras_dnc.typing import DType
from keras_dnc.typing import Tensor

_EPSILON = 1e-12  # keeps the logarithm of a weight, and its gradient, finite at 0


class HeadControls(NamedTuple):
    """Where the controller asks a number of heads to look.

    Attributes:
        keys: `(batch, heads, word_size)`.
        strengths: `(batch, heads)`, before squashing.
        interpolation_gate: `(batch, heads)`, in [0, 1]: look for the key (1) or start
            from where the head was (0).
        shift_weights: `(batch, heads, 2 * shift_range + 1)`, rows sum to 1: how far to
            go on, from `-shift_range` to `shift_range` slots.
        sharpness: `(batch, heads)`, before squashing.
    """

    keys: Tensor
    strengths: Tensor
    interpolation_gate: Tensor
    shift_weights: Tensor
    sharpness: Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
class NTMAddressing(keras.layers.Layer):
    r"""Find content or stay, go on by a few slots, sharpen.

    $$w^c = \mathrm{softmax}(\sigma(\beta) \cos(k, M))$$
    $$w^g = g w^c + (1 - g) w_{t-1}$$
    $$w^s_i = \sum_j s_j w^g_{(i - j) \bmod N}$$
    $$w_i = (w^s_i)^\gamma / \sum_j (w^s_j)^\gamma, \quad \gamma = 1 +
    \mathrm{softplus}(\hat\gamma)$$

    Departures: the paper says of the strength that it is positive, of the sharpness
    that it is at least 1; softplus and oneplus make them so. Powers are taken of
    $w^s + 10^{-12}$, by way of logarithms: no gradient of $0^\gamma$ is NaN, and a
    large $\gamma$ leaves no sum of zeros.

    Args:
        strength: `"softplus"` or `"oneplus"`, how key strengths are squashed.
        dtype: As in `keras.layers.Layer`; float32 in place of half precision.
        **kwargs: `name`, as in `keras.layers.Layer`.

    Call arguments:
        memory: `(batch, memory_size, word_size)`.
        controls: `HeadControls`, or what one is made of in the same order.
        previous_weights: `(batch, heads, memory_size)`, rows sum to 1.

    Returns:
        Weights, `(batch, heads, memory_size)`, rows sum to 1.

    Raises:
        ValueError: An unknown `strength`, an even number of shifts, or a call argument
            of the wrong shape.

    Example:
        >>> import numpy as np
        >>> controls = HeadControls(
        ...     keys=np.zeros((1, 1, 4)),
        ...     strengths=np.zeros((1, 1)),
        ...     interpolation_gate=np.zeros((1, 1)),  # from where it was,
        ...     shift_weights=np.array([[[0.0, 0.0, 1.0]]]),  # one slot further
        ...     sharpness=np.zeros((1, 1)),
        ... )
        >>> before = np.array([[[0.0, 1.0, 0.0]]])
        >>> weights = NTMAddressing()(np.zeros((1, 3, 4)), controls, before)
        >>> [round(float(w), 3) for w in weights[0, 0]]
        [0.0, 0.0, 1.0]

    References:
        - Graves et al. 2014, Neural Turing Machines, section 3.3, eq. 5-9.
    """

    def __init__(
        self, strength: str = "softplus", dtype: DType = None, **kwargs: Any
    ) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.strength = strength
        self.content = CosineWeights(strength, dtype=self.dtype_policy)

    def build(self, memory_shape, controls_shape=None, previous_weights_shape=None):
        """Create nothing: there are no weights."""
        self.content.built = True

    def call(
        self, memory: Tensor, controls: HeadControls, previous_weights: Tensor
    ) -> Tensor:
        """Address by content, interpolate, shift, sharpen."""
        controls = HeadControls(*controls)
        self._check(memory, controls, previous_weights)
        content = self.content(memory, controls.keys, controls.strengths)  # eq. 5
        gate = ops.expand_dims(controls.interpolation_gate, -1)
        weights = gate * content + (1.0 - gate) * previous_weights  # eq. 7
        weights = shift(weights, controls.shift_weights)  # eq. 8
        return sharpen(weights, oneplus(controls.sharpness))  # eq. 9

    @staticmethod
    def _check(
        memory: Tensor, controls: HeadControls, previous_weights: Tensor
    ) -> None:
        """Raise a `ValueError` unless shapes fit; `content` sees to `strengths`."""
        check_shape("memory", memory.shape, ("batch", "memory_size", "word_size"))
        keys = ("batch", "heads", memory.shape[2])
        check_shape("keys", controls.keys.shape, keys)
        heads = ("batch", controls.keys.shape[1])
        for name in ("interpolation_gate", "sharpness"):
            check_shape(name, getattr(controls, name).shape, heads)
        expected = (*heads, memory.shape[1])
        check_shape("previous_weights", previous_weights.shape, expected)
        shape = tuple(controls.shift_weights.shape)
        check_shape("shift_weights", shape, (*heads, "2 * shift_range + 1"))
        if shape[-1] % 2 == 0:
            raise ValueError(
                "Argument `shift_weights` must have 2 * shift_range + 1 numbers for "
                f"each head. Received: shift_weights of shape {shape}"
            )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "strength": self.strength}


def shift(weights: Tensor, shift_weights: Tensor) -> Tensor:
    """Mix weights moved on by each number of slots, the last slot before the first.

    Args:
        weights: `(batch, heads, memory_size)`.
        shift_weights: `(batch, heads, 2 * shift_range + 1)`.

    Returns:
        `(batch, heads, memory_size)`.
    """
    shift_range = shift_weights.shape[-1] // 2
    return sum(
        shift_weights[:, :, shift_range + offset, None]
        * ops.roll(weights, offset, axis=-1)
        for offset in range(-shift_range, shift_range + 1)
    )


def sharpen(weights: Tensor, sharpness: Tensor) -> Tensor:
    """Raise weights to a power, and bring each row back to a sum of 1.

    Args:
        weights: `(batch, heads, memory_size)`, at least 0.
        sharpness: `(batch, heads)`, at least 1.

    Returns:
        `(batch, heads, memory_size)`, rows sum to 1.
    """
    logarithms = ops.log(weights + _EPSILON)
    return ops.softmax(ops.expand_dims(sharpness, -1) * logarithms, axis=-1)
