"""The slot accessed least recently, found without a pass over all slots.

The time of every slot's last access is the lowest level of a tree, each node of which
holds the earliest time below it. A search from the top finds the earliest slot, and an
access changes one node of each level. A time of 0 means never: zeros are a fresh tree.
Times are whole numbers, which float32 represents exactly up to 2^24; `rewound` keeps
them below.
"""

from keras import ops

from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import set_rows
from keras_dnc.typing import Tensor, Tensors

_BRANCHES = 64  # children of a node: fewer add levels, more add work at each level
_LATEST = 2**23  # clock from which it is set back; a sequence may have as many steps
_KEPT = 2**22  # steps before that whose order is kept


def level_sizes(memory_size: int) -> list[int]:
    """Return the number of nodes at each level of the tree, the slots first.

    Args:
        memory_size: Slots of the memory.

    Returns:
        List of integers, the first `memory_size`.
    """
    sizes = [memory_size]
    while sizes[-1] > 4 * _BRANCHES:
        sizes.append(-(-sizes[-1] // _BRANCHES))
    return sizes


def rewound(levels: Tensors, time: Tensor) -> tuple[Tensors, Tensor]:
    """Set the clock back to 2^22, and all times with it, once it has reached 2^23.

    Slots accessed more than 2^22 steps ago become slots never accessed; the order of
    all others is unchanged.

    Args:
        levels: List of `(batch, nodes)`, one per level.
        time: `(batch, 1)`, the clock: number of steps taken.

    Returns:
        `(levels, time)`, as they were where the clock is below 2^23.
    """
    moved = ops.where(time >= _LATEST, time - _KEPT, 0.0)
    return [ops.maximum(level - moved, 0.0) for level in levels], time - moved


def least_recent(levels: Tensors) -> Tensor:
    """Return the slot accessed least recently, of equal times the first.

    Args:
        levels: List of `(batch, nodes)`, one per level.

    Returns:
        `(batch, 1)`, whole numbers.
    """
    node = _first_least(levels[-1])
    for level in reversed(levels[:-1]):
        times = gather_rows(level, _children(level, node)[:, 0])
        node = node * _BRANCHES + _first_least(times)
    return node


def _first_least(times: Tensor) -> Tensor:
    """Return the index of the earliest time, `(batch, 1)`."""
    # On TensorFlow, an `argmin` of floats has bit operations that ONNX lacks.
    return ops.argmin(ops.cast(times, "int32"), axis=1, keepdims=True)


def accessed(levels: Tensors, slots: Tensor, times: Tensor) -> Tensors:
    """Return the tree after accesses.

    Args:
        levels: List of `(batch, nodes)`, one per level.
        slots: `(batch, count)`; repeated slots have equal times.
        times: `(batch, count)`, the times of the last access of the slots.

    Returns:
        List of `(batch, nodes)`, one per level.
    """
    new = [set_rows(levels[0], slots, times)]
    for level in levels[1:]:
        slots = slots // _BRANCHES
        new.append(set_rows(level, slots, _earliest(new[-1], slots)))
    return new


def _earliest(level: Tensor, nodes: Tensor) -> Tensor:
    """Return the earliest time below each of `nodes` of the next higher level."""
    children = _children(level, nodes)
    flat = (-1, children.shape[1] * children.shape[2])
    times = gather_rows(level, ops.reshape(children, flat))
    return ops.min(ops.reshape(times, (-1, *children.shape[1:])), axis=-1)


def _children(level: Tensor, nodes: Tensor) -> Tensor:
    """Return the indices of the children of nodes, `(batch, count, branches)`.

    Indices beyond the level are replaced by its last one.
    """
    first = ops.cast(nodes, "int32")[:, :, None] * _BRANCHES
    return ops.minimum(first + ops.arange(_BRANCHES, dtype="int32"), level.shape[1] - 1)
