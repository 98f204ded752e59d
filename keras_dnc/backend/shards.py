"""Rows of tables whose slots are distributed over the devices of a mesh, on JAX.

A table is `(batch, size, ...)`. If Keras's distribution has a layout for `SLOTS`, each
device holds consecutive slots of a large table, and computes with those; rows and
scores of a few slots travel between devices, the table never does.
`keras_dnc.layouts.memory_layout` makes such a distribution.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from keras_dnc.typing import Tensor, Tensors

SLOTS = "memory_slots"  # the path by which a `LayoutMap` names the axis of slots
_FEWEST = 256  # slots on a device: a smaller table is held by every device


class Slots(NamedTuple):
    """How the slots of a table are distributed.

    Attributes:
        mesh: `jax.sharding.Mesh`.
        axis: Name of the axis of the mesh over which slots are distributed.
        batch_axis: Name of the axis over which batches are, which may be the same.
        devices: Number of devices along `axis`.
    """

    mesh: Any
    axis: str
    batch_axis: str
    devices: int


def distributed(size: int) -> Slots | None:
    """Return how tables with `size` slots are distributed, `None` if they are not.

    Args:
        size: Number of slots.

    Returns:
        `Slots`, or `None` if the slots are too few, or their number is not a multiple
        of the number of devices.
    """
    distribution = keras.distribution.distribution()
    if distribution is None or keras.backend.backend() != "jax":
        return None
    layout = distribution.get_tensor_layout(SLOTS)
    if layout is None:
        return None
    (axis,) = layout.axes
    mesh = distribution.device_mesh
    devices = mesh.shape[mesh.axis_names.index(axis)]
    if devices == 1 or size % devices or size // devices < _FEWEST:
        return None
    return Slots(mesh.backend_mesh, axis, distribution.batch_dim_name, devices)


def gather_rows(where: Slots, table: Tensor, slots: Tensor) -> Tensor:
    """Return rows of a distributed table; each device adds those that it holds.

    Args:
        where: How the table is distributed.
        table: `(batch, size, ...)`.
        slots: `(batch, count)`, int32.

    Returns:
        `(batch, count, ...)`.
    """
    import jax
    import jax.numpy as jnp

    def local(table: Tensor, slots: Tensor) -> Tensor:
        places, here = _local(where, table, slots)
        rows = jnp.take_along_axis(table, _like(places, table), axis=1, mode="clip")
        return jax.lax.psum(jnp.where(_like(here, table), rows, 0), where.axis)

    return _per_device(where, local, [table], [slots])


def set_rows(where: Slots, table: Tensor, slots: Tensor, rows: Tensor) -> Tensor:
    """Return a distributed table with new rows; each device sets those that it holds.

    Args:
        where: How the table is distributed.
        table: `(batch, size, ...)`.
        slots: `(batch, count)`, int32; the rows of a repeated slot are equal.
        rows: `(batch, count, ...)`.

    Returns:
        The new table, `(batch, size, ...)`.
    """
    import jax.numpy as jnp

    def local(table: Tensor, slots: Tensor, rows: Tensor) -> Tensor:
        places, here = _local(where, table, slots)
        places = jnp.where(here, places, table.shape[1])  # beyond the table: dropped
        batch = jnp.arange(table.shape[0])[:, None]
        return table.at[batch, places].set(rows, mode="drop")

    return _per_device(where, local, [table], [slots, rows], keeps_table=True)


def best_slots(
    where: Slots,
    find: Callable[[Tensors, Tensor], tuple[Tensor, Tensor]],
    tables: Tensors,
    keys: Tensor,
) -> tuple[Tensor, Tensor]:
    """Let each device find its best slots, and collect them from all devices.

    Args:
        where: How the tables are distributed.
        find: Function of the tables, as if the slots of a device were all there are,
            and of `keys`, to `(scores, slots)`, each `(batch, heads, count)`.
        tables: Tables of one size.
        keys: `(batch, heads, word_size)`.

    Returns:
        `(scores, slots)`, each `(batch, heads, devices * count)`, by ascending device.
    """
    import jax

    def local(*arguments: Tensor) -> tuple[Tensor, Tensor]:
        *tables, keys = arguments
        scores, slots = find(tables, keys)
        slots = slots + _first(where, tables[0])
        gather = functools.partial(
            jax.lax.all_gather, axis_name=where.axis, axis=2, tiled=True
        )
        return gather(scores), gather(slots)

    return _per_device(where, local, tables, [keys])


def _per_device(
    where: Slots,
    function: Callable[..., Any],
    tables: Tensors,
    others: Tensors,
    keeps_table: bool = False,
) -> Any:
    """Run a function on each device's slots of `tables`, and on all of `others`."""
    import jax
    from jax.sharding import PartitionSpec

    batch = tables[0].shape[0]
    divides = where.batch_axis != where.axis
    divides = divides and batch % where.mesh.shape[where.batch_axis] == 0
    whole = PartitionSpec(where.batch_axis if divides else None)
    table = PartitionSpec(*whole, where.axis)
    return jax.shard_map(
        function,
        mesh=where.mesh,
        in_specs=(table,) * len(tables) + (whole,) * len(others),
        out_specs=table if keeps_table else whole,
        check_vma=False,  # JAX does not see that what `all_gather` returns is equal
    )(*tables, *others)


def _first(where: Slots, table: Tensor) -> Tensor:
    """Return the number of the first slot of this device."""
    import jax

    return jax.lax.axis_index(where.axis) * table.shape[1]


def _local(where: Slots, table: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Return where slots are in this device's table, and whether they are there."""
    places = slots - _first(where, table)
    return places, (places >= 0) & (places < table.shape[1])


def _like(slots: Tensor, table: Tensor) -> Tensor:
    """Append axes of size 1 to `(batch, count)` until it has the rank of a table."""
    return slots.reshape(slots.shape + (1,) * (len(table.shape) - 2))
