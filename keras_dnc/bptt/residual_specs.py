"""Which residuals a step of a memory has, learned from one symbolic run."""

import weakref
from collections.abc import Callable
from typing import Any

import keras
from keras import tree

from keras_dnc.cells.access import Access
from keras_dnc.ops.residuals import recording
from keras_dnc.typing import Controls, Fields, Shape, State, Tensor

_RESIDUALS: weakref.WeakKeyDictionary[Access, Fields] = weakref.WeakKeyDictionary()
_LARGE: weakref.WeakKeyDictionary[Access, list[str]] = weakref.WeakKeyDictionary()


def residual_specs(access: Access) -> dict[str, keras.KerasTensor]:
    """Return every residual of a step as a symbolic tensor, by name, batch first."""
    if access not in _RESIDUALS:

        def run(controls: Controls, state: State) -> Fields:
            with recording() as kept:
                access.step(controls, state)
            return dict(kept)

        _RESIDUALS[access] = _symbolic(access, run)
    return _RESIDUALS[access]


def large_states(access: Access) -> list[str]:
    """Return the names of the states that `write` returns."""
    if access not in _LARGE:

        def run(controls: Controls, state: State) -> Fields:
            with recording() as kept:
                access.step(controls, state)
            return access.rewrite(state, kept)

        _LARGE[access] = list(_symbolic(access, run))
    return _LARGE[access]


def _symbolic(access: Access, function: Callable[[Controls, State], Any]) -> Any:
    """Run a function of controls and state on symbolic tensors, a batch of one."""
    run = _Run(access, function)

    def spec(shape: Shape) -> keras.KerasTensor:
        return keras.KerasTensor((1, *shape), access.compute_dtype)

    units = access.interface.dense.kernel.shape[0]
    state = tree.map_shape_structure(spec, access.state_shapes)
    return run.compute_output_spec(spec((units,)), state)


class _Run(keras.layers.Layer):
    """A layer without weights around a function, for Keras to infer its shapes."""

    def __init__(self, access: Access, function: Callable) -> None:
        super().__init__(dtype=access.dtype_policy)
        self._function = function
        self._find_access = weakref.ref(access)  # not to track its weights

    def call(self, inputs: Tensor, state: State) -> Any:
        return self._function(self._find_access().controls(inputs), state)
