"""Which slot was accessed least recently, without a look at all of them.

The time of every slot's last access is the lowest level of a tree, each node of which
holds the earliest time below it. The earliest slot is found from the top down, and an
access changes one node of each level. A time of 0 means never: zeros are a fresh tree.
Times are whole numbers, exact to 2^24 in float32.
"""

from keras import ops

from keras_dnc.ops.rows import gather_rows
from keras_dnc.ops.rows import set_rows

_BRANCHES = 64  # below a node: fewer make more levels, more make more work at each


def level_sizes(memory_size):
    """List the number of nodes at each level of the tree, the slots first."""
    sizes = [memory_size]
    while sizes[-1] > 4 * _BRANCHES:
        sizes.append(-(-sizes[-1] // _BRANCHES))
    return sizes


def least_recent(levels):
    """Give the slot that was accessed earliest, the first of those that tie.

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


def _first_least(times):
    """Give where the earliest time stands, `(batch, 1)`."""
    # Of floats, Keras on TensorFlow looks at the bits, for which ONNX has no operation.
    return ops.argmin(ops.cast(times, "int32"), axis=1, keepdims=True)


def accessed(levels, slots, times):
    """Give the tree after accesses.

    Args:
        levels: List of `(batch, nodes)`.
        slots: `(batch, count)`; those that repeat have equal times.
        times: `(batch, count)`, of their last access.
    """
    new = [set_rows(levels[0], slots, times)]
    for level in levels[1:]:
        slots = slots // _BRANCHES
        new.append(set_rows(level, slots, _earliest(new[-1], slots)))
    return new


def _earliest(level, nodes):
    """Give the earliest time below each of `nodes` of the level above."""
    children = _children(level, nodes)
    flat = (-1, children.shape[1] * children.shape[2])
    times = gather_rows(level, ops.reshape(children, flat))
    return ops.min(ops.reshape(times, (-1, *children.shape[1:])), axis=-1)


def _children(level, nodes):
    """Number the nodes below, `(batch, count, branches)`; the last may repeat."""
    first = ops.cast(nodes, "int32")[:, :, None] * _BRANCHES
    return ops.minimum(first + ops.arange(_BRANCHES, dtype="int32"), level.shape[1] - 1)
