"""Memories and their addressing compute in at least float32."""

import keras

_HALF_PRECISION = ("float16", "bfloat16")


def full_precision(dtype):
    """Give the policy `dtype`, or float32 where it computes in half precision.

    Weights over many slots and products over time lose their meaning in 11 bits: an
    unused slot's usage rounds to none, and its gradient to NaN.
    """
    policy = keras.dtype_policies.get(dtype)
    return "float32" if policy.compute_dtype in _HALF_PRECISION else policy


def check_not_half_precision(dtype):
    """Raise a `ValueError` where an RNN layer of `dtype` would round slots' numbers."""
    dtype = keras.backend.standardize_dtype(dtype)
    if dtype in _HALF_PRECISION:
        raise ValueError(
            "Argument `dtype` of the RNN layer must be 'float32' around a cell whose "
            "states number slots, as `RNN(cell, dtype='float32')`; the cell's own "
            f"`dtype` may be a mixed policy. Received: a layer that computes in {dtype}"
        )
