"""Arrays of a request, as the served model takes them or refused by name."""

import numpy as np

from keras_dnc.arguments import check_shape


def fitting(name, array, dtype, shape):
    """Give an array of a signature's dtype.

    Args:
        name: The input's name.
        array: Anything that NumPy takes.
        dtype: Name of the dtype; `"string"` for words.
        shape: Sizes, free ones `None`.

    Raises:
        ValueError: Another shape, another kind of numbers, numbers that `dtype` does
            not hold, NaN or infinity.
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


def _is_of_kind(found, dtype):
    if dtype == "string":
        return found.kind in "OSU"
    if found == np.dtype(dtype):
        return True
    return found.kind in "biuf" and np.can_cast(found, dtype, casting="same_kind")


def _check_values(name, array, fitted):
    """Refuse whole numbers that wrap round, and others that are not finite."""
    if fitted.dtype.kind in "biu":
        if not np.array_equal(fitted, array):
            raise ValueError(
                f"Argument `{name}` must be of numbers that {fitted.dtype} holds. "
                f"Received: {name} from {array.min()} to {array.max()}"
            )
        return
    wrong = ~np.isfinite(fitted.astype("float64"))
    if np.any(wrong):
        rows = sorted({int(place[0]) for place in np.argwhere(wrong)})
        raise ValueError(
            f"Argument `{name}` must be finite. "
            f"Received: {name} with NaN or infinity in rows {rows}"
        )
