"""Policies under which memories and their addressing compute in at least float32."""

import keras

from keras_dnc.typing import DType

_HALF_PRECISION = ("float16", "bfloat16")


def full_precision(dtype: DType) -> DType:
    """Return a policy, or float32 in place of a policy that computes in half precision.

    Half precision has at most 11 significant bits, too few for weights over many slots
    and products over time: small usage rounds to 0, and gradients become NaN.

    Args:
        dtype: Name of a dtype or policy, a `keras.DTypePolicy`, or `None` for Keras's
            global policy.

    Returns:
        A `keras.DTypePolicy` or `"float32"`.

    Example:
        >>> full_precision("mixed_float16")
        'float32'
    """
    policy = keras.dtype_policies.get(dtype)
    return "float32" if policy.compute_dtype in _HALF_PRECISION else policy


def check_not_half_precision(dtype: DType) -> None:
    """Raise an error if an RNN layer would round the slot indices in a cell's states.

    Args:
        dtype: Dtype in which the RNN layer computes.

    Raises:
        ValueError: If the dtype is float16 or bfloat16.
    """
    dtype = keras.backend.standardize_dtype(dtype)
    if dtype in _HALF_PRECISION:
        raise ValueError(
            "Argument `dtype` of the RNN layer must be 'float32' around a cell whose "
            "states number slots, as `RNN(cell, dtype='float32')`; the cell's own "
            f"`dtype` may be a mixed policy. Received: a layer that computes in {dtype}"
        )
