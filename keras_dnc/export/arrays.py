"""Conversion and validation of the arrays of a request."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dnc.arguments import check_shape


def fitting(
    name: str, array: Any, dtype: str, shape: Sequence[int | None]
) -> np.ndarray:
    """Convert an array to the dtype of a served model's input.

    Args:
        name: Name of the input, for error messages.
        array: NumPy array, or nested lists of numbers or strings.
        dtype: Name of the dtype, such as `"float32"`; `"string"` for words.
        shape: Size of each axis; `None` for axes of any size.

    Returns:
        `numpy.ndarray` of that dtype; an object array for `"string"`.

    Raises:
        ValueError: If the array has another shape or another kind of dtype, holds
            integers outside the range of `dtype`, or holds NaN or infinity.

    Example:
        >>> fitting("inputs", [[1, 2]], "float32", (None, 2))
        array([[1., 2.]], dtype=float32)
    """
    array = np.asarray(array)
    legend = [f"axis {n}" if size is None else size for n, size in enumerate(shape)]
    check_shape(name, array.shape, legend)
    if not _is_of_kind(array.dtype, dtype):
        raise ValueError(
            f"Argument `{name}` must be of a kind that fits {dtype}. "
            f"Received: {name} of dtype {array.dtype}"
        )
    if dtype == "string":
        return array.astype(object)
    with np.errstate(over="ignore"):
        fitted = array.astype(dtype)
    _check_values(name, array, fitted)
    return fitted


def _is_of_kind(found: np.dtype, dtype: str) -> bool:
    """Return whether values of dtype `found` may be converted to `dtype`."""
    if dtype == "string":
        return found.kind in "OSU"
    if found == np.dtype(dtype):
        return True
    return found.kind in "biuf" and np.can_cast(found, dtype, casting="same_kind")


def _check_values(name: str, array: np.ndarray, fitted: np.ndarray) -> None:
    """Refuse integers that overflow and floating-point numbers that are not finite."""
    if fitted.dtype.kind in "biu":
        if not np.array_equal(fitted, array):
            raise ValueError(
                f"Argument `{name}` must be of numbers that {fitted.dtype} holds. "
                f"Received: {name} from {array.min()} to {array.max()}"
            )
        return
    is_numpys_own = fitted.dtype.kind == "f"  # bfloat16 is not
    wrong = ~np.isfinite(fitted if is_numpys_own else fitted.astype("float64"))
    if np.any(wrong):
        rows = sorted({int(place[0]) for place in np.argwhere(wrong)})
        raise ValueError(
            f"Argument `{name}` must be finite. "
            f"Received: {name} with NaN or infinity in rows {rows}"
        )
