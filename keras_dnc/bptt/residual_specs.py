"""Residuals and deferred products of a step of a cell, from one symbolic run."""

import weakref
from typing import Any, NamedTuple

import keras
from keras import ops
from keras import tree

from keras_dnc import backend
from keras_dnc.bptt.deferred import Deferred
from keras_dnc.bptt.deferred import deferred_products
from keras_dnc.bptt.pure_cell import PureMemoryCell
from keras_dnc.cells.access import Access
from keras_dnc.ops.linear import Product
from keras_dnc.ops.linear import collecting
from keras_dnc.ops.residuals import recording
from keras_dnc.typing import Fields, Shape, Tensor, Tensors


class StepSpecs(NamedTuple):
    """The tensors of a step that back-propagation saves or recomputes, symbolic.

    Attributes:
        residuals: Dict from names of residuals to `keras.KerasTensor`s `(1, ...)`.
        large: Dict from names of the fields that `write` returns to
            `keras.KerasTensor`s `(1, ...)`; empty for a sparse memory.
        deferred: List of `Deferred`, the products whose weight gradients can wait for
            the end of a chunk of steps.
    """

    residuals: dict[str, keras.KerasTensor]
    large: dict[str, keras.KerasTensor]
    deferred: list[Deferred]


_SPECS: weakref.WeakKeyDictionary[keras.Layer, dict[Any, StepSpecs]]
_SPECS = weakref.WeakKeyDictionary()


def step_specs(cell: PureMemoryCell) -> StepSpecs:
    """Return the specs of a step of a cell; they are computed once for each use of it.

    Args:
        cell: `PureMemoryCell` of a cell with an `access`.

    Returns:
        `StepSpecs` for a batch of one.
    """
    known = _SPECS.setdefault(cell.cell, {})
    use = cell.training, cell.drops, *map(id, cell.cell.trainable_variables)
    if use not in known:
        known[use] = _symbolic_step(cell)
    return known[use]


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


def _symbolic_step(cell: PureMemoryCell) -> StepSpecs:
    """Run a step on symbolic tensors with a batch of one."""
    access, sequence = cell.cell.access, cell.sequence_of_one()
    products: list[Product] = []

    def run(tensors: Tensors) -> tuple[Fields, Fields]:
        inputs, *leaves = tensors
        with recording() as residuals, collecting() as found:
            cell.step(sequence, inputs, leaves)
        products.extend(found)
        is_dense, state = isinstance(access, Access), cell.named(leaves).access
        return residuals, access.rewrite(state, residuals) if is_dense else {}

    shapes: list[Shape] = [(cell.cell.input_size,), *cell.cell.flat_state_shapes]
    batch_of_one = [(1, *shape) for shape in shapes]
    found = backend.infer(run, batch_of_one, cell.cell.compute_dtype)
    residuals, large = tree.map_structure(_spec, found)
    variables = cell.cell.trainable_variables
    reads = {id(variable): cell.reads[id(variable)] for variable in variables}
    return StepSpecs(residuals, large, deferred_products(products, variables, reads))


def _spec(tensor: Tensor) -> keras.KerasTensor:
    """Return the shape and dtype of a tensor as a symbolic tensor."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return keras.KerasTensor(tuple(tensor.shape), dtype)
