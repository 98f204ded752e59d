"""Aliases for the types in the signatures of the package."""

from collections.abc import Callable
from typing import Any, TypeAlias

Tensor: TypeAlias = Any  # a tensor of the current backend
Tensors: TypeAlias = list[Tensor]
Buffer: TypeAlias = Any  # of the current backend: one tensor per index
State: TypeAlias = Any  # a NamedTuple of tensors, of a cell or of a memory
Controls: TypeAlias = Any  # a NamedTuple of tensors, of a memory
Shape: TypeAlias = tuple[int | None, ...]
DType: TypeAlias = Any  # a name, a `keras.DTypePolicy`, or `None` for Keras's default
Fields: TypeAlias = dict[str, Any]  # from names to tensors, or to NamedTuples of them
TensorFunction: TypeAlias = Callable[[Tensors], Tensors]
