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
