"""Refuse bad arguments early, in Keras's form: argument, rule, received."""

import numbers


def positive_integer(name, value):
    """Give `value` as an `int`, or raise a `ValueError` unless it is one above 0."""
    return _integer(name, value, 1, "a positive integer")


def natural_number(name, value):
    """Give `value` as an `int`, or raise a `ValueError` unless it is 0 or above."""
    return _integer(name, value, 0, "an integer of at least 0")


def _integer(name, value, least, rule):
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer or value < least:
        raise ValueError(
            f"Argument `{name}` must be {rule}. Received: {name}={value!r}"
        )
    return int(value)


def check_positive_or_none(name, value):
    """Raise a `ValueError` unless `value` is `None` or a number above 0."""
    if value is None:
        return
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_real or not value > 0:
        raise ValueError(
            f"Argument `{name}` must be a positive number or None. "
            f"Received: {name}={value!r}"
        )


def probability(name, value):
    """Give `value` as a `float`, or raise a `ValueError` unless it is in [0, 1)."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_real or not 0.0 <= value < 1.0:
        raise ValueError(
            f"Argument `{name}` must be at least 0 and below 1. "
            f"Received: {name}={value!r}"
        )
    return float(value)


def check_choice(name, value, choices):
    """Raise a `ValueError` unless `value` is one of `choices`."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(
            f"Argument `{name}` must be one of {sorted(choices, key=str)}. "
            f"Received: {name}={value!r}"
        )


def check_shape(name, shape, expected):
    """Raise a `ValueError` unless `shape` fits the legend names in `expected`.

    Args:
        name: Name of the argument that has the shape.
        shape: Its shape; unknown axes are `None`.
        expected: One entry per axis: an integer, or a legend name such as `"batch"`
            where any size is right.
    """
    shape = tuple(shape)
    fits = len(shape) == len(expected) and all(
        isinstance(want, str) or got is None or got == want
        for got, want in zip(shape, expected, strict=True)
    )
    if not fits:
        legend = ", ".join(str(axis) for axis in expected)
        raise ValueError(
            f"Argument `{name}` must have shape ({legend}). "
            f"Received: {name} of shape {shape}"
        )
