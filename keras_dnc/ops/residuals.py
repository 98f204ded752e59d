"""Residuals: values of a step that back-propagation keeps, so as not to compute again.

Back-propagation through time runs a step twice: on the way forward, and again to
differentiate it. In the second run, values kept from the first replace the computed
ones, with the gradient of the computed ones. So a difference in the last bit cannot
change the order of slots, and XLA drops every computation whose value nothing reads.

`recording` collects the residuals of a first run and `reusing` hands them to a second
one. Outside of both scopes, `keep`, `keep_fields` and `keep_output` change nothing.
"""

import contextlib
import contextvars
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

from keras_dnc import backend
from keras_dnc.typing import Fields
from keras_dnc.typing import Tensor
from keras_dnc.typing import Tensors


class _Scope:
    """The residuals of one run of a step, by name."""

    def __init__(self, residuals: Fields, reuses: bool) -> None:
        self.residuals = residuals
        self.reuses = reuses
        self._uses: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """Return `name`, numbered from its second use in a step on."""
        uses = self._uses[name] = self._uses.get(name, -1) + 1
        return f"{name}_{uses}" if uses else name


_SCOPE: contextvars.ContextVar[_Scope | None] = contextvars.ContextVar(
    "residuals", default=None
)


@contextlib.contextmanager
def _entered(scope: _Scope) -> Iterator[Fields]:
    token = _SCOPE.set(scope)
    try:
        yield scope.residuals
    finally:
        _SCOPE.reset(token)


def recording() -> contextlib.AbstractContextManager[Fields]:
    """Return a scope whose value is a dict of the residuals computed inside it."""
    return _entered(_Scope({}, reuses=False))


def reusing(residuals: Fields) -> contextlib.AbstractContextManager[Fields]:
    """Return a scope in which `residuals` replace the values computed."""
    return _entered(_Scope(residuals, reuses=True))


def keep(names: list[str], computed: Tensors) -> Tensors:
    """Name tensors as residuals.

    Args:
        names: One name for each tensor.
        computed: List of tensors.

    Returns:
        The tensors. In a `reusing` scope, those with a residual have its value, and the
        gradient of what was computed.
    """
    scope = _SCOPE.get()
    if scope is None:
        return computed
    if not scope.reuses:
        scope.residuals.update(zip(names, computed, strict=True))
        return computed
    values = dict(zip(names, computed, strict=True))
    known = {name: scope.residuals[name] for name in names if name in scope.residuals}
    replaced = _replaced([values[name] for name in known], list(known.values()))
    return list((values | dict(zip(known, replaced, strict=True))).values())


def _replaced(computed: Tensors, residuals: Tensors) -> Tensors:
    """Return the values of `residuals` with the gradients of `computed`."""
    if not computed:
        return []
    count = len(computed)
    function = backend.with_gradient(
        lambda tensors, save: (tensors[count:], ()),
        lambda tensors, saved, gradients: [*gradients, *[None] * count],
    )
    return function([*computed, *residuals])


def keep_output(
    name: str, forward: Callable, backward: Callable, tensors: Tensors
) -> Tensor:
    """Run a function of one output with a hand-written gradient; keep its output.

    In a `reusing` scope `forward` does not run: the residual is its output.

    Args:
        name: Name of the output.
        forward: From a list of tensors to the output.
        backward: From the list of tensors, the output and its gradient to a list of
            gradients.
        tensors: List of tensors.
    """
    scope = _SCOPE.get()
    name = name if scope is None else scope.unique(name)
    known = [scope.residuals[name]] if scope and name in scope.residuals else []
    count = len(tensors)

    def run(given, save):
        output = given[count] if len(given) > count else forward(given)
        return [output], output

    def gradient(given, output, gradients):
        found = backward(given[:count], output, gradients[0])
        return [*found, *[None] * (len(given) - count)]

    (output,) = backend.with_gradient(run, gradient)([*tensors, *known])
    if scope is not None and not scope.reuses:
        scope.residuals[name] = output
    return output


def keep_choice(name: str, choose: Callable[[], Tensor]) -> Tensor:
    """Return indices that have no gradient; keep them, so that they stay the same."""
    scope = _SCOPE.get()
    if scope is None:
        return choose()
    name = scope.unique(name)
    if not scope.reuses:
        scope.residuals[name] = choose()
    return scope.residuals[name]


def watched(controls: Any, prefix: str = "") -> Any:
    """Return `controls`, such that a `recording` scope keeps each field that is read.

    Args:
        controls: NamedTuple of tensors.
        prefix: Put before each field's name. Defaults to none.
    """
    scope = _SCOPE.get()
    if scope is None or scope.reuses:
        return controls
    return _Watched(controls, scope.residuals, prefix)


class _Watched:
    """A NamedTuple that notes which of its fields are read."""

    def __init__(self, controls: Any, residuals: Fields, prefix: str) -> None:
        self._controls, self._residuals, self._prefix = controls, residuals, prefix

    def __getattr__(self, name: str) -> Any:
        fields = self._controls._fields
        for field in [name] if name in fields else fields:  # a method may read any
            value = getattr(self._controls, field)
            if value is not None:
                self._residuals[self._prefix + field] = value
        return getattr(self._controls, name)

    def __iter__(self) -> Iterator[Any]:
        return iter([getattr(self, field) for field in self._controls._fields])
