"""Content-based addressing: weights over slots from the similarity of keys and rows."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import check_shape
from keras_dnc.arguments import finite_number
from keras_dnc.cells.precision import full_precision
from keras_dnc.ops.similarity import DEEPMIND_GUARDS
from keras_dnc.ops.similarity import STRENGTHS
from keras_dnc.ops.similarity import Guards
from keras_dnc.ops.similarity import fast_cosine_similarity
from keras_dnc.ops.similarity import fast_masked_cosine_similarity
from keras_dnc.ops.similarity import weighted_softmax
from keras_dnc.typing import DType, Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
class CosineWeights(keras.layers.Layer):
    r"""Content-based addressing: weights over slots from the similarity to keys.

    $$C(M, k, \beta)_i = \mathrm{softmax}_i(\sigma(\beta) \cos(k, M_i))$$

    with $\sigma$ the function `strength` and, for guards $(\epsilon, \delta)$,

    $$\cos(k, m) = \frac{k \cdot m}
    {\sqrt{|k|^2 + \epsilon} \sqrt{|m|^2 + \epsilon} + \delta}$$

    Departures: Graves et al. 2016 apply `oneplus` to the strength, deepmind/dnc
    `softplus`. The default here is `softplus`, so that values equal those of
    deepmind/dnc.

    Args:
        strength: Function that makes strengths positive: `"softplus"` (deepmind/dnc) or
            `"oneplus"` (the paper). Defaults to `"softplus"`.
        cosine_guards: The two guards of the cosine, positive numbers. They should be
            far below the squared norms of the rows that are to be told apart; the
            gradient with respect to rows and keys of squared norms below 1e-6 is always
            bounded. Defaults to `(1e-6, 1e-6)`, those of deepmind/dnc.
        dtype: Policy of the layer; float32 in place of half precision. Defaults to
            Keras's global policy.
        **kwargs: `name` and `trainable` of `keras.layers.Layer`.

    Call arguments:
        memory: `(batch, memory_size, word_size)`.
        keys: `(batch, heads, word_size)`.
        strengths: `(batch, heads)`, any real numbers, to which `strength` is applied.
        masks: `(batch, heads, word_size)`, in [0, 1], or `None`: factors of a head's
            key and of every row, $C(M \circ m, k \circ m, \beta)$ (Csordas and
            Schmidhuber 2019). Defaults to `None`.

    Returns:
        Weights, `(batch, heads, memory_size)`, rows sum to 1.

    Raises:
        ValueError: If `strength` is neither name, `cosine_guards` are not two positive
            numbers, masks come with other guards, or a call argument has the wrong
            shape.

    Example:
        >>> import numpy as np
        >>> memory = np.array([[[1.0, 0.0], [0.0, 1.0]]], "float32")
        >>> weights = CosineWeights()(memory, memory[:, :1], np.array([[50.0]]))
        >>> [round(float(w), 3) for w in weights[0, 0]]
        [1.0, 0.0]

    References:
        - Graves et al. 2014, Neural Turing Machines, eq. 5-6.
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, Methods, "Content-based addressing".
        - Csordas and Schmidhuber 2019, Improving differentiable neural computers
          through memory masking, de-allocation, and link distribution sharpness
          control, section 3.1.
    """

    def __init__(
        self,
        strength: str = "softplus",
        cosine_guards: Sequence[float] = DEEPMIND_GUARDS,
        dtype: DType = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=full_precision(dtype), **kwargs)
        check_choice("strength", strength, STRENGTHS)
        self.strength = strength
        self.cosine_guards = _guards(cosine_guards)

    def call(
        self,
        memory: Tensor,
        keys: Tensor,
        strengths: Tensor,
        masks: Tensor | None = None,
    ) -> Tensor:
        """Compute the weights over slots."""
        check_shape("memory", memory.shape, ("batch", "memory_size", "word_size"))
        check_shape("keys", keys.shape, ("batch", "heads", memory.shape[2]))
        check_shape("strengths", strengths.shape, ("batch", keys.shape[1]))
        sharpness = STRENGTHS[self.strength](strengths)
        if masks is None:
            similarity = fast_cosine_similarity(memory, keys, self.cosine_guards)
        else:
            self._check_guards_of_masks()
            check_shape("masks", masks.shape, ("batch", *keys.shape[1:]))
            similarity = fast_masked_cosine_similarity(memory, keys, masks)
        return weighted_softmax(similarity, sharpness)

    def _check_guards_of_masks(self) -> None:
        """Raise a `ValueError` unless the guards are those of deepmind/dnc."""
        if self.cosine_guards != DEEPMIND_GUARDS:
            raise ValueError(
                "Argument `masks` needs the default `cosine_guards`. "
                f"Received: cosine_guards={tuple(self.cosine_guards)}"
            )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "strength": self.strength,
            "cosine_guards": list(self.cosine_guards),
        }


def _guards(values: Sequence[float]) -> Guards:
    """Return `Guards` of two positive numbers, or raise a `ValueError`."""
    name = "cosine_guards"
    try:
        return Guards(*(finite_number(name, value, above=0.0) for value in values))
    except (TypeError, ValueError):
        raise ValueError(
            f"Argument `{name}` must be two positive numbers, that of norms and that "
            f"of the quotient. Received: {name}={values!r}"
        ) from None
