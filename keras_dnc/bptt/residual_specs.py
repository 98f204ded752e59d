"""Names, shapes and dtypes of the residuals of a step, from one symbolic run."""

import weakref
from typing import NamedTuple

import keras
from keras import ops
from keras import tree

from keras_dnc.cells.access import Access
from keras_dnc.cells.access import BaseAccess
from keras_dnc.ops.residuals import recording
from keras_dnc.typing import Fields, Shape, State, Tensor, Tensors


class StepSpecs(NamedTuple):
    """The tensors of a step that back-propagation saves or recomputes, symbolic.

    Attributes:
        residuals: Dict from names of residuals to `keras.KerasTensor`s `(1, ...)`.
        large: Dict from names of the fields that `write` returns to
            `keras.KerasTensor`s `(1, ...)`; empty for a sparse memory.
    """

    residuals: dict[str, keras.KerasTensor]
    large: dict[str, keras.KerasTensor]


_SPECS: weakref.WeakKeyDictionary[BaseAccess, StepSpecs] = weakref.WeakKeyDictionary()


def step_specs(access: BaseAccess) -> StepSpecs:
    """Return the specs of a step of a memory; each memory is run once.

    Args:
        access: A built memory.

    Returns:
        `StepSpecs` for a batch of one.
    """
    if access not in _SPECS:
        _SPECS[access] = _symbolic_step(access)
    return _SPECS[access]


def zero_residuals(specs: dict[str, keras.KerasTensor], batch_size: Tensor) -> Tensors:
    """Return zeros with the shapes and dtypes of residuals.

    Args:
        specs: The `residuals` of `StepSpecs`.
        batch_size: Sequences in the batch, an integer or a scalar tensor.

    Returns:
        List of tensors `(batch, ...)`, one for each residual.
    """
    return [
        ops.zeros((batch_size, *spec.shape[1:]), spec.dtype) for spec in specs.values()
    ]


def _symbolic_step(access: BaseAccess) -> StepSpecs:
    """Run a step on symbolic tensors with a batch of one."""

    def spec(shape: Shape) -> keras.KerasTensor:
        return keras.KerasTensor((1, *shape), access.compute_dtype)

    units = access.interface.dense.kernel.shape[0]
    state = tree.map_shape_structure(spec, access.state_shapes)
    return StepSpecs(*_Step(access).compute_output_spec(spec((units,)), state))


class _Step(keras.Operation):
    """A step of a memory as an operation, whose output shapes Keras infers."""

    def __init__(self, access: BaseAccess) -> None:
        super().__init__()
        self._access = access

    def call(self, inputs: Tensor, state: State) -> tuple[Fields, Fields]:
        """Return the residuals of the step and the fields of `write`."""
        controls = self._access.controls(inputs)
        with recording() as residuals:
            self._access.step(controls, state)
        if isinstance(self._access, Access):
            return residuals, self._access.rewrite(state, residuals)
        return residuals, {}
