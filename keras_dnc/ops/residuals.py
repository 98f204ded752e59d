"""Residuals: values of a step that the forward pass keeps for the backward pass.

Back-propagation through time runs a step twice: in the forward pass, and again in the
backward pass to differentiate it. In the second run, the residuals of the first replace
the recomputed values, and pass their gradients on to the recomputed ones. Hence a
difference in the last bit cannot change the order of slots, and XLA removes every
computation whose value is not used.

A scope of `recording` collects the residuals of a first run; a scope of `reusing`
supplies them to a second run. Outside both, `keep`, `keep_output`, `keep_choice` and
`kept_when_read` have no effect.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

from keras_dnc import backend
from keras_dnc.typing import Controls, Fields, Tensor, Tensors


class _Scope:
    """The residuals of one run of a step, by name.

    Args:
        residuals: Dict of the residuals: filled by a first run, read by a second.
        reuses: Whether this is a second run.
    """

    def __init__(self, residuals: Fields, reuses: bool) -> None:
        self.residuals = residuals
        self.reuses = reuses
        self._uses: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """Return `name`, with a number appended from its second use in a step on."""
        uses = self._uses[name] = self._uses.get(name, -1) + 1
        return f"{name}_{uses}" if uses else name


_SCOPE: contextvars.ContextVar[_Scope | None] = contextvars.ContextVar(
    "residuals", default=None
)


@contextlib.contextmanager
def _entered(scope: _Scope) -> Iterator[Fields]:
    """Make a scope the current one, and yield its residuals."""
    token = _SCOPE.set(scope)
    try:
        yield scope.residuals
    finally:
        _SCOPE.reset(token)


def recording() -> contextlib.AbstractContextManager[Fields]:
    """Return a scope that collects the residuals of a first run of a step.

    Returns:
        Context manager whose value is a dict from names to residuals, filled while the
        step runs.

    Example:
        >>> from keras import ops
        >>> with recording() as residuals:
        ...     _ = keep(["usage"], [ops.ones((2,))])
        >>> list(residuals)
        ['usage']
    """
    return _entered(_Scope({}, reuses=False))


def reusing(residuals: Fields) -> contextlib.AbstractContextManager[Fields]:
    """Return a scope in which residuals replace the values that a step computes.

    Args:
        residuals: Dict from names to residuals; a value without one is computed.

    Returns:
        Context manager whose value is `residuals`.

    Example:
        >>> from keras import ops
        >>> with reusing({"usage": ops.ones((2,))}):
        ...     (usage,) = keep(["usage"], [ops.zeros((2,))])
        >>> ops.convert_to_numpy(usage).tolist()
        [1.0, 1.0]
    """
    return _entered(_Scope(residuals, reuses=True))


def keep(names: list[str], computed: Tensors) -> Tensors:
    """Name tensors as residuals.

    Args:
        names: One name for each tensor.
        computed: List of tensors.

    Returns:
        List of tensors. In a scope of `reusing`, a tensor whose name has a residual has
        the value of the residual, and passes its gradient on to the computed tensor.
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
    """Return the values of `residuals`; their gradients go to `computed`."""
    if not computed:
        return []
    count = len(computed)
    function = backend.with_gradient(
        lambda tensors, save: (tensors[count:], ()),
        lambda tensors, saved, gradients: [*gradients, *[None] * count],
    )
    return function([*computed, *residuals])


def keep_output(
    name: str,
    forward: Callable[[Tensors], Tensor],
    backward: Callable[[Tensors, Tensor, Tensor], Tensors],
    tensors: Tensors,
) -> Tensor:
    """Run a function with a hand-written gradient, and name its output as a residual.

    In a scope of `reusing` that has the residual, `forward` does not run.

    Args:
        name: Name of the output; it may be used several times in a step.
        forward: Function of a list of tensors that returns the output.
        backward: Function of the list of tensors, the output and the gradient with
            respect to the output. It returns a list of gradients with respect to the
            tensors.
        tensors: List of tensors.

    Returns:
        The output.
    """
    scope = _SCOPE.get()
    name = name if scope is None else scope.unique(name)
    known = [scope.residuals[name]] if scope and name in scope.residuals else []
    count = len(tensors)

    def run(given: Tensors, save: bool) -> tuple[Tensors, Tensor]:
        output = given[count] if len(given) > count else forward(given)
        return [output], output

    def gradient(
        given: Tensors, output: Tensor, gradients: Tensors
    ) -> list[Tensor | None]:
        found = backward(given[:count], output, gradients[0])
        return [*found, *[None] * (len(given) - count)]

    (output,) = backend.with_gradient(run, gradient)([*tensors, *known])
    if scope is not None and not scope.reuses:
        scope.residuals[name] = output
    return output


def keep_choice(name: str, choose: Callable[[], Tensor]) -> Tensor:
    """Compute indices and name them as a residual, so that both runs use the same.

    Args:
        name: Name of the indices; it may be used several times in a step.
        choose: Function without arguments that returns indices without a gradient. In a
            scope of `reusing` that has the residual, it does not run.

    Returns:
        The indices.
    """
    scope = _SCOPE.get()
    if scope is None:
        return choose()
    name = scope.unique(name)
    if scope.reuses and name in scope.residuals:
        return scope.residuals[name]
    chosen = choose()
    if not scope.reuses:
        scope.residuals[name] = chosen
    return chosen


def kept_when_read(controls: Controls, prefix: str = "") -> Controls:
    """Return controls of which each field becomes a residual as soon as it is read.

    Args:
        controls: NamedTuple of tensors, `None` for controls that the options lack.
        prefix: Text before the name of a field in the name of its residual. Defaults to
            `""`.

    Returns:
        In a scope of `recording`, an object with the fields and methods of `controls`;
        otherwise `controls`.
    """
    scope = _SCOPE.get()
    if scope is None or scope.reuses:
        return controls
    return _KeptWhenRead(controls, scope.residuals, prefix)


class _KeptWhenRead:
    """A NamedTuple whose fields become residuals when they are read."""

    def __init__(self, controls: Controls, residuals: Fields, prefix: str) -> None:
        self._controls, self._residuals, self._prefix = controls, residuals, prefix

    def __getattr__(self, name: str) -> Any:
        fields = self._controls._fields
        # A method may read any field.
        for field in [name] if name in fields else fields:
            value = getattr(self._controls, field)
            if value is not None:
                self._residuals[self._prefix + field] = value
        return getattr(self._controls, name)

    def __iter__(self) -> Iterator[Any]:
        return iter([getattr(self, field) for field in self._controls._fields])
