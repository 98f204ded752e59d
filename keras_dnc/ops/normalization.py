"""Layer normalisation with a bounded gradient at constant rows (Ba et al. 2016)."""

import keras
from keras import ops

from keras_dnc.typing import Tensor

NORM_EPSILON = 1e-5  # added to variances; below it the gradient fades


def plain_normalized(features: Tensor) -> Tensor:
    """Normalise the last axis to mean 0 and variance 1.

    The reference for `normalized`: its gradient is left to the backend.

    Args:
        features: `(..., size)`.

    Returns:
        `(..., size)`; 0 where all numbers of a row are equal.
    """
    centred, variance = _moments(features)
    return ops.cast(centred * ops.rsqrt(variance + NORM_EPSILON), features.dtype)


def normalized(features: Tensor) -> Tensor:
    """Normalise the last axis to mean 0 and variance 1.

    Where the variance is below 1e-5, the gradient is multiplied by variance / 1e-5. The
    exact gradient of a constant row is 316, and a step of a normalised cell takes the
    product of three. A sequence that begins with blank steps stays near such rows for
    long: at inputs of 1e-30 the exact gradient reaches 1e29.

    Args:
        features: `(..., size)`.

    Returns:
        `(..., size)`; 0 where all numbers of a row are equal.
    """
    centred, variance = _moments(features)
    exact = centred * ops.rsqrt(variance + NORM_EPSILON)
    share = ops.stop_gradient(ops.minimum(variance / NORM_EPSILON, 1.0))
    faded = share * exact + (1.0 - share) * ops.stop_gradient(exact)
    return ops.cast(faded, features.dtype)


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centred features and their variance, in at least float32.

    In half precision, means would have at most 11 significant bits, and squares could
    overflow.
    """
    dtype = keras.backend.result_type(features.dtype, "float32")
    features = ops.cast(features, dtype)
    centred = features - ops.mean(features, axis=-1, keepdims=True)
    return centred, ops.mean(ops.square(centred), axis=-1, keepdims=True)
