"""Complete signatures and docstrings of classes that pass arguments on to another.

A cell has the options of its memory, which are said once: in the constructor and the
docstring of the memory. The cell takes them as `**options`; `passes_on` puts them into
its signature and its docstring, where a reader, `help` and the documentation look.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

Kind = TypeVar("Kind", bound=type)
_MARK = "    {options}\n"  # a line among a docstring's `Args`
_ENTRY = re.compile(r"^    (\w+):.*\n(?:^ {8}.*\n)*", re.MULTILINE)


def passes_on(*targets: type, without: tuple[str, ...] = ()) -> Callable[[Kind], Kind]:
    """Return a decorator for a class that passes `**options` on to other classes.

    The class's `__signature__` gets the targets' arguments that it does not name
    itself, and its docstring their descriptions, in place of a line `{options}`.

    Args:
        *targets: The classes that take the options.
        without: Names of arguments that the class does not take. Defaults to none.
    """

    def complete(kind: Kind) -> Kind:
        own = inspect.signature(kind)
        named = {p.name: p for p in own.parameters.values() if p.kind not in _VARIABLE}
        texts = []
        for target in targets:
            entries = _entries(target.__doc__)
            for parameter in _passed(own, target):
                if parameter.name not in {*named, *without}:
                    named[parameter.name] = parameter
                    texts.append(entries.get(parameter.name, ""))
        docstring = inspect.cleandoc(kind.__doc__ or "")
        kind.__doc__ = docstring.replace(_MARK, "".join(texts))
        ordered = sorted(named.values(), key=lambda parameter: parameter.kind)
        kind.__signature__ = own.replace(parameters=ordered)  # type: ignore
        return kind

    return complete


def check_names(options: Iterable[str], kind: type) -> None:
    """Raise a `ValueError` unless a class has arguments of these names.

    Args:
        options: Names of keyword arguments.
        kind: The class.

    Raises:
        ValueError: If a name is not in the signature of the class.

    Example:
        >>> check_names(["b"], type("Kind", (), {"__init__": lambda self, b: None}))
    """
    names = list(inspect.signature(kind).parameters)
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f", did you mean `{near[0]}`?" if near else "."
            raise ValueError(
                f"Argument `{name}` is not one of `{kind.__name__}`{hint} It takes "
                f"{', '.join(names)}. Received: {name}"
            )


def _passed(own: inspect.Signature, target: type) -> list[inspect.Parameter]:
    """Return the target's arguments, by keyword alone unless the class has `*args`."""
    kinds = {parameter.kind for parameter in own.parameters.values()}
    takes_positional = inspect.Parameter.VAR_POSITIONAL in kinds
    return [
        p if takes_positional else p.replace(kind=p.KEYWORD_ONLY)
        for p in inspect.signature(target).parameters.values()
        if p.kind not in _VARIABLE
    ]


_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _entries(docstring: str | None) -> dict[str, str]:
    """Return a dict from names to the lines that describe them, as in `Args`."""
    text = inspect.cleandoc(docstring or "")
    arguments = text.partition("\nArgs:\n")[2].partition("\n\n")[0]
    return {match[1]: match[0] for match in _ENTRY.finditer(arguments + "\n")}
