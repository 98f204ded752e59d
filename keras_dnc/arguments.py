"""Validation of arguments, with errors in the form of Keras: argument, rule, received.

The functions that return a value have a noun as their name; those that only check start
with `check`.
"""

import math
import numbers
import warnings
from collections.abc import Collection, Iterable, Sequence
from typing import Any

MAX_SIZE = 2**31 - 1  # indices of slots, rows and steps are int32
MAX_SEED = 2**32 - 1  # JAX and PyTorch hold a seed as uint32


def positive_integer(name: str, value: Any) -> int:
    """Return a positive integer as an `int`.

    Every size and count of the package is checked by this function or by
    `natural_number`. A larger one than `MAX_SIZE` is refused, because int32 indices
    cannot number the rows of such an array. A product of several sizes is not checked:
    the backend raises an error where it cannot allocate the array.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument.

    Returns:
        The value as an `int`.

    Raises:
        ValueError: If the value is not an integer above 0, or is above 2^31 - 1.

    Example:
        >>> positive_integer("num_reads", 4)
        4
    """
    return _integer(name, value, 1, "a positive integer")


def positive_integer_or_none(name: str, value: Any) -> int | None:
    """Return a positive integer as an `int`, or `None`.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument.

    Returns:
        The value as an `int`, or `None` if it is `None`.

    Raises:
        ValueError: If the value is neither `None` nor an integer above 0, or is above
            2^31 - 1.

    Example:
        >>> positive_integer_or_none("link_top_k", None)
    """
    return None if value is None else positive_integer(name, value)


def natural_number(name: str, value: Any) -> int:
    """Return an integer of at least 0 as an `int`.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument.

    Returns:
        The value as an `int`.

    Raises:
        ValueError: If the value is not an integer of at least 0, or is above 2^31 - 1.

    Example:
        >>> natural_number("num_writes", 0)
        0
    """
    return _integer(name, value, 0, "an integer of at least 0")


def random_seed(name: str, value: Any) -> int:
    """Return the seed of a random generator as an `int`.

    Seeds that every backend and NumPy accept are integers from 0 to 2^32 - 1.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument.

    Returns:
        The value as an `int`.

    Raises:
        ValueError: If the value is not an integer of at least 0, or is above 2^32 - 1.

    Example:
        >>> random_seed("seed", 0)
        0
    """
    return _integer(name, value, 0, "an integer of at least 0", MAX_SEED)


def _integer(name: str, value: Any, least: int, rule: str, most: int = MAX_SIZE) -> int:
    """Return an integer from `least` to `most`, or raise an error with the rule."""
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer or value < least:
        raise ValueError(
            f"Argument `{name}` must be {rule}. Received: {name}={value!r}"
        )
    if value > most:
        raise ValueError(
            f"Argument `{name}` must be at most {most}. Received: {name}={value!r}"
        )
    return int(value)


def renamed(
    arguments: dict[str, Any], old: str, new: str, warn: bool = True
) -> dict[str, Any]:
    """Return keyword arguments in which an argument has its new name.

    Args:
        arguments: Dict from names to values.
        old: The deprecated name.
        new: The name it has now.
        warn: Whether to warn where the old name is used. Defaults to `True`.
    """
    if old not in arguments:
        return arguments
    if warn:
        warnings.warn(
            f"Argument `{old}` is deprecated; it is now `{new}`.",
            DeprecationWarning,
            stacklevel=4,
        )
    others = {name: value for name, value in arguments.items() if name != old}
    return {**others, new: arguments[old]}


def capped(arguments: dict[str, Any], name: str, bound: str) -> dict[str, Any]:
    """Return keyword arguments in which one is at most another.

    Configs of version 0.1, and of models with a smaller memory than before, may have
    larger values than `check_at_most` accepts.

    Args:
        arguments: Dict from names to values.
        name: Name of the argument that is limited, an integer or `None`.
        bound: Name of the argument that limits it, an integer.

    Returns:
        Dict from names to values.

    Example:
        >>> capped({"link_top_k": 8, "memory_size": 7}, "link_top_k", "memory_size")
        {'link_top_k': 7, 'memory_size': 7}
    """
    if arguments.get(name) is None:
        return arguments
    return {**arguments, name: min(arguments[name], arguments[bound])}


def check_positive_or_none(name: str, value: Any) -> None:
    """Raise an error unless a value is `None` or a positive number.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument.

    Raises:
        ValueError: If the value is neither `None` nor a number above 0.

    Example:
        >>> check_positive_or_none("clip_value", None)
    """
    if value is None:
        return
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_real or not value > 0:
        raise ValueError(
            f"Argument `{name}` must be a positive number or None. "
            f"Received: {name}={value!r}"
        )


def finite_number(name: str, value: Any, above: float = -math.inf) -> float:
    """Return a finite real number as a `float`.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument.
        above: Number that the value must exceed. Defaults to minus infinity.

    Returns:
        The value as a `float`.

    Raises:
        ValueError: If the value is not a real number, is infinite or NaN, or is not
            above `above`.

    Example:
        >>> finite_number("goal", 1)
        1.0
    """
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_real or not above < value < math.inf:
        rule = "a finite number" + (f" above {above:g}" if above > -math.inf else "")
        raise ValueError(
            f"Argument `{name}` must be {rule}. Received: {name}={value!r}"
        )
    return float(value)


def probability(
    name: str, value: Any, includes_one: bool = False, includes_zero: bool = True
) -> float:
    """Return a number from 0 to 1 as a `float`.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument.
        includes_one: Whether 1 is allowed. Defaults to `False`.
        includes_zero: Whether 0 is allowed. Defaults to `True`.

    Returns:
        The value as a `float`.

    Raises:
        ValueError: If the value is not a number of at least 0 and below 1, or at most 1
            with `includes_one`, or above 0 without `includes_zero`.

    Example:
        >>> probability("dropout", 0)
        0.0
    """
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    ends = {0.0: includes_zero, 1.0: includes_one}
    if not is_real or not (0.0 < value < 1.0 or ends.get(value, False)):
        least = "at least 0" if includes_zero else "above 0"
        most = "at most 1" if includes_one else "below 1"
        raise ValueError(
            f"Argument `{name}` must be {least} and {most}. Received: {name}={value!r}"
        )
    return float(value)


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise an error unless a value equals one of the choices and has its type.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument.
        choices: Values that are allowed.

    Raises:
        ValueError: If the value is not one of the choices.

    Example:
        >>> check_choice("links", "sparse", ("dense", "sparse"))
    """
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(
            f"Argument `{name}` must be one of {sorted(choices, key=str)}. "
            f"Received: {name}={value!r}"
        )


def switch(name: str, value: Any) -> bool:
    """Return a bool as it is.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument.

    Raises:
        ValueError: If the value is not a bool.

    Example:
        >>> switch("deallocate", True)
        True
    """
    check_choice(name, value, (False, True))
    return value


def check_at_most(name: str, value: int | None, bound: str, most: int) -> None:
    """Raise an error if one argument is above another.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument; `None` is below every bound.
        bound: Name of the other argument.
        most: Value of the other argument.

    Raises:
        ValueError: If the value is above `most`.

    Example:
        >>> check_at_most("top_k", 4, "memory_size", 16)
    """
    if value is not None and value > most:
        raise ValueError(
            f"Argument `{name}` must be at most `{bound}`. "
            f"Received: {name}={value!r}, {bound}={most!r}"
        )


def check_shape(
    name: str,
    shape: Iterable[int | None],
    expected: Sequence[int | str | None],
    hint: str = "",
) -> None:
    """Raise an error unless a shape has the expected rank and sizes.

    Args:
        name: Name of the argument that has the shape, for the error message.
        shape: Shape of the argument; unknown axes are `None`.
        expected: One entry per axis: an integer, a legend name such as `"batch"` for an
            axis of any size, or `None` for an axis whose size must be unknown.
        hint: Words after the expected shape in the error message. Defaults to none.

    Raises:
        ValueError: If the shape has another rank, or an axis another size.

    Example:
        >>> check_shape("memory", (None, 16, 4), ("batch", 16, "word_size"))
    """
    shape = tuple(shape)
    fits = len(shape) == len(expected) and all(
        isinstance(want, str) or got is None or got == want
        for got, want in zip(shape, expected, strict=True)
    )
    if not fits:
        legend = ", ".join(str(axis) for axis in expected)
        raise ValueError(
            f"Argument `{name}` must have shape ({legend}){hint}. "
            f"Received: {name} of shape {shape}"
        )
