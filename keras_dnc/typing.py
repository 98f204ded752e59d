"""Names for the types that every module speaks of."""

from collections.abc import Callable
from typing import Any, TypeAlias

Tensor: TypeAlias = Any  # of the backend at hand, which only it can name
Tensors: TypeAlias = list[Tensor]
Buffer: TypeAlias = Any  # of the backend: room for one tensor per index
State: TypeAlias = Any  # a NamedTuple of tensors, of the cell or memory at hand
Controls: TypeAlias = Any  # a NamedTuple of tensors, of the memory at hand
Shape: TypeAlias = tuple[int | None, ...]
DType: TypeAlias = Any  # a name, a `keras.DTypePolicy`, or `None` for Keras's default
Fields: TypeAlias = dict[str, Any]  # from names to tensors, or to NamedTuples of them
TensorFunction: TypeAlias = Callable[[Tensors], Tensors]
