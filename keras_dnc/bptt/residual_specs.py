"""Names, shapes and dtypes of the residuals of a step, from one symbolic run."""

import weakref
from typing import NamedTuple

import keras
from keras import ops
from keras import tree

from keras_dnc import backend
from keras_dnc.cells.access import Access
from keras_dnc.cells.access import BaseAccess
from keras_dnc.ops.residuals import recording
from keras_dnc.typing import Fields, Shape, Tensor, Tensors


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

    def run(tensors: Tensors) -> tuple[Fields, Fields]:
        inputs, *leaves = tensors
        remaining = iter(leaves)
        state = tree.map_shape_structure(lambda _: next(remaining), access.state_shapes)
        with recording() as residuals:
            access.step(access.controls(inputs), state)
        large = isinstance(access, Access)
        return residuals, access.rewrite(state, residuals) if large else {}

    shapes: list[Shape] = [(access.interface.dense.kernel.shape[0],)]
    tree.map_shape_structure(shapes.append, access.state_shapes)
    batch_of_one = [(1, *shape) for shape in shapes]
    found = backend.infer(run, batch_of_one, access.compute_dtype)
    return StepSpecs(*tree.map_structure(_spec, found))


def _spec(tensor: Tensor) -> keras.KerasTensor:
    """Return the shape and dtype of a tensor as a symbolic tensor."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return keras.KerasTensor(tuple(tensor.shape), dtype)
