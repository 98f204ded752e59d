"""Addressing of the Neural Turing Machine (Graves et al. 2014, section 3.3)."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import keras
from keras import ops

from keras_dnc.arguments import check_shape
from keras_dnc.cells.content import CosineWeights
from keras_dnc.cells.precision import full_precision
from keras_dnc.ops.similarity import DEEPMIND_GUARDS
from keras_dnc.ops.similarity import Guards
from keras_dnc.ops.similarity import oneplus
from keras_dnc.typing import DType, Shape, Tensor

_EPSILON = 1e-12  # keeps a weight's logarithm, and its gradient, finite at 0
# The first is far below the squares of a fresh memory, 1e-12; the second is Collier and
# Beel's, who have no first one, so that the gradient at a zero row is NaN.
NTM_GUARDS = Guards(1e-24, 1e-8)


class HeadControls(NamedTuple):
    """Controls of the addressing of several heads.

    Attributes:
        keys: `(batch, heads, word_size)`.
        strengths: `(batch, heads)`, any real number, before squashing.
        interpolation_gate: `(batch, heads)`, in [0, 1]: address by content (1) or start
            from the previous weights (0).
        shift_weights: `(batch, heads, 2 * shift_range + 1)`, rows sum to 1:
            distribution over shifts from `-shift_range` to `shift_range` slots.
        sharpness: `(batch, heads)`, any real number, before squashing.
    """

    keys: Tensor  # k_t
    strengths: Tensor  # beta_t
    interpolation_gate: Tensor  # g_t
    shift_weights: Tensor  # s_t
    sharpness: Tensor  # gamma_t


@keras.saving.register_keras_serializable(package="keras_dnc")
class NTMAddressing(keras.layers.Layer):
    r"""Weights of heads by content and by location.

    Each head finds slots by content or keeps its weights, shifts them, sharpens them:

    $$w^c_t = \mathrm{softmax}(\beta_t \cos(k_t, M_t)) \tag{5}$$
    $$w^g_t = g_t w^c_t + (1 - g_t) w_{t-1} \tag{7}$$
    $$\tilde w_t(i) = \sum_j s_t(j) w^g_t((i - j) \bmod N) \tag{8}$$
    $$w_t(i) = \tilde w_t(i)^{\gamma_t} / \sum_j \tilde w_t(j)^{\gamma_t} \tag{9}$$

    Departures:

    - The paper requires a positive strength and a sharpness of at least 1, and leaves
      the functions open: here $\beta_t = \mathrm{softplus}(\hat\beta_t)$, or oneplus,
      and $\gamma_t = 1 + \mathrm{softplus}(\hat\gamma_t)$.
    - Powers are taken of $\tilde w_t + 10^{-12}$ in logarithms: the gradient of
      $0^\gamma$ is not NaN, and no large $\gamma$ makes every power 0.

    Args:
        strength: `"softplus"` or `"oneplus"`, how key strengths are squashed. Defaults
            to `"softplus"`.
        cosine_guards: Numbers added to squared norms and to their product, which keep
            the cosine finite; see `CosineWeights`. Defaults to `(1e-24, 1e-8)`.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        memory: `(batch, memory_size, word_size)`.
        controls: `HeadControls`, or its fields in the same order.
        previous_weights: `(batch, heads, memory_size)`, rows sum to 1.

    Returns:
        Weights, `(batch, heads, memory_size)`, rows sum to 1.

    Raises:
        ValueError: If `strength` is unknown, `cosine_guards` are not two positive
            numbers, the number of shifts is even, or a call
            argument has the wrong shape.

    Example:
        >>> import numpy as np
        >>> controls = HeadControls(
        ...     keys=np.zeros((1, 1, 4)),
        ...     strengths=np.zeros((1, 1)),
        ...     interpolation_gate=np.zeros((1, 1)),  # keep the previous weights,
        ...     shift_weights=np.array([[[0.0, 0.0, 1.0]]]),  # shifted by one slot
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
        self,
        strength: str = "softplus",
        cosine_guards: Sequence[float] = NTM_GUARDS,
        dtype: DType = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        self.strength = strength
        self.content = CosineWeights(strength, cosine_guards, dtype=self.dtype_policy)

    @property
    def cosine_guards(self) -> Guards:
        """The numbers that keep the cosine finite."""
        return self.content.cosine_guards

    def build(
        self,
        memory_shape: Shape,
        controls_shape: Any = None,
        previous_weights_shape: Shape | None = None,
    ) -> None:
        """Do nothing but mark the inner layer as built: there are no weights."""
        self.content.built = True

    def call(
        self, memory: Tensor, controls: HeadControls, previous_weights: Tensor
    ) -> Tensor:
        """Address by content, interpolate, shift, sharpen."""
        controls = HeadControls(*controls)
        self._check(memory, controls, previous_weights)
        keys, strengths = controls.keys, controls.strengths  # k_t, beta_t
        content = self.content(memory, keys, strengths)  # w_t^c, eq. 5
        gate = ops.expand_dims(controls.interpolation_gate, -1)  # g_t
        weights = gate * content + (1.0 - gate) * previous_weights  # w_t^g, eq. 7
        weights = shift(weights, controls.shift_weights)  # w~_t, eq. 8
        return sharpen(weights, oneplus(controls.sharpness))  # w_t, eq. 9

    @staticmethod
    def _check(
        memory: Tensor, controls: HeadControls, previous_weights: Tensor
    ) -> None:
        """Raise a `ValueError` unless shapes fit; `content` checks `strengths`."""
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
        return {
            **super().get_config(),
            "strength": self.strength,
            "cosine_guards": list(self.cosine_guards),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Create a layer; a config of version 0.1 has the guards of deepmind/dnc."""
        return cls(**with_first_guards(config))


def with_first_guards(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config with the guards of version 0.1, unless it has its own.

    Args:
        config: Dict of the arguments of a layer that addresses like an NTM.
    """
    return {"cosine_guards": list(DEEPMIND_GUARDS), **config}


def shift(weights: Tensor, shift_weights: Tensor) -> Tensor:
    """Convolve weights with a distribution over shifts, circularly (eq. 8).

    Args:
        weights: `(batch, heads, memory_size)`.
        shift_weights: `(batch, heads, 2 * shift_range + 1)`, the weights of shifts from
            `-shift_range` to `shift_range` slots.

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
    """Raise weights to a power, and normalise each row (eq. 9).

    Args:
        weights: `(batch, heads, memory_size)`, at least 0.
        sharpness: `(batch, heads)`, at least 1.

    Returns:
        `(batch, heads, memory_size)`, rows sum to 1.
    """
    logarithms = ops.log(weights + _EPSILON)
    return ops.softmax(ops.expand_dims(sharpness, -1) * logarithms, axis=-1)
