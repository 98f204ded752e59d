"""Rows of large tables: gather, change and set a few rows of each batch element.

A table is `(batch, size, ...)`. Slots, the indices of its rows, are `(batch, count)`
integers of any dtype from 0 to `size - 1`, and may repeat.
"""

from typing import Any

from keras import ops

from keras_dnc import backend
from keras_dnc.backend import shards
from keras_dnc.ops.ranking import stable_top_k
from keras_dnc.ops.residuals import keep_choice
from keras_dnc.typing import DType, Tensor, Tensors


def gather_rows(table: Tensor, slots: Tensor) -> Tensor:
    """Return rows of a table.

    Args:
        table: `(batch, size, ...)`.
        slots: `(batch, count)`, indices of rows; they may repeat.

    Returns:
        `(batch, count, ...)`, the rows at `slots`.

    Raises:
        ValueError: If the table has 2^31 rows or more in all batch elements.
    """
    if where := shards.distributed(table.shape[1]):
        return shards.gather_rows(where, table, ops.cast(slots, "int32"))
    return ops.take(_flat(table), _flat_slots(table, slots), axis=0)


def gather_runs(values: Tensor, runs: Tensor, length: int) -> Tensor:
    """Return runs of consecutive values: run i begins at `i * length`.

    Args:
        values: `(batch, size)`, `size` a multiple of `length`.
        runs: `(batch, count)`, indices of runs; they may repeat.
        length: Number of values in a run.

    Returns:
        `(batch, count, length)`.
    """
    if shards.distributed(values.shape[1]):  # where runs may be divided
        places = runs[:, :, None] * length + ops.arange(length, dtype=runs.dtype)
        places = ops.reshape(places, (-1, runs.shape[1] * length))
        return ops.reshape(gather_rows(values, places), (-1, runs.shape[1], length))
    table = ops.reshape(values, (-1, values.shape[1] // length, length))
    return gather_rows(table, runs)


def set_rows(table: Tensor, slots: Tensor, rows: Tensor) -> Tensor:
    """Return a table with new rows.

    Args:
        table: `(batch, size, ...)`.
        slots: `(batch, count)`, indices of rows; they may repeat if the new rows of a
            repeated slot are equal.
        rows: `(batch, count, ...)`, the new rows at `slots`.

    Returns:
        The new table, `(batch, size, ...)`.

    Raises:
        ValueError: If the table has 2^31 rows or more in all batch elements.
    """
    if where := shards.distributed(table.shape[1]):
        return shards.set_rows(where, table, ops.cast(slots, "int32"), rows)
    slots = ops.reshape(_flat_slots(table, slots), (-1, 1))
    flat = ops.scatter_update(_flat(table), slots, _flat(rows))
    return ops.reshape(flat, (-1, *table.shape[1:]))


def matches(a: Tensor, b: Tensor, dtype: DType) -> Tensor:
    """Compare each slot of one list with each slot of another.

    Args:
        a: `(batch, count_a)`, slots.
        b: `(batch, count_b)`, slots.
        dtype: Dtype of the result.

    Returns:
        `(batch, count_a, count_b)`, 1 where both slots are equal, else 0.
    """
    return ops.cast(ops.equal(a[:, :, None], b[:, None, :]), dtype)


def is_first(slots: Tensor) -> Tensor:
    """Return whether each slot is the first among the slots equal to it.

    Args:
        slots: `(..., count)`.

    Returns:
        Booleans `(..., count)`.
    """
    equal = ops.equal(slots[..., :, None], slots[..., None, :])
    earlier = ops.tri(slots.shape[-1], k=-1, dtype="bool")
    return ops.logical_not(ops.any(ops.logical_and(equal, earlier), axis=-1))


def summed(slots: Tensor, weights: Tensor) -> Tensor:
    """Add up the weights of repeated slots.

    Args:
        slots: `(..., count)`; they may repeat.
        weights: `(..., count)`.

    Returns:
        `(..., count)`: the sum of the weights of a slot where it occurs first, 0 where
        it occurs again.
    """
    same = ops.equal(slots[..., :, None], slots[..., None, :])
    same = ops.cast(same, weights.dtype)
    total = ops.sum(same * weights[..., None, :], axis=-1)
    return ops.where(is_first(slots), total, 0.0)


def weight_at(rows: Tensor, slots: Tensor, weights: Tensor) -> Tensor:
    """Return the total weight of given slots.

    Args:
        rows: `(batch, count)`, the slots to look up.
        slots: `(batch, weighted)`, the slots that have weights; they may repeat.
        weights: `(batch, weighted)`.

    Returns:
        `(batch, count)`, the sum of the weights of each of `rows`; 0 without a weight.
    """
    return ops.sum(matches(rows, slots, weights.dtype) * weights[:, None, :], axis=-1)


def is_at(places: Tensor, count: int) -> Tensor:
    """Return indices as booleans.

    Args:
        places: `(..., chosen)`, indices from 0 to `count - 1`, of any dtype.
        count: Number of possible indices.

    Returns:
        Booleans `(..., chosen, count)`, true at the index.
    """
    indices = ops.arange(count, dtype="int32")
    return ops.equal(ops.cast(places, "int32")[..., None], indices)


def largest_places(weights: Tensor, count: int) -> Tensor:
    """Return the indices of the largest weights, without a gradient, as a residual.

    Args:
        weights: `(..., n)`.
        count: Number of indices, at most n.

    Returns:
        `(..., count)`, indices from 0 to n - 1 in the dtype of `weights`.
    """

    def choose() -> Tensor:
        places = stable_top_k(ops.stop_gradient(weights), count)[1]
        return ops.cast(places, weights.dtype)

    return keep_choice("largest_places", choose)


def values_at(values: Tensor, places: Tensor) -> Tensor:
    """Return values at indices of the last axis.

    Each is computed as a sum of one value and zeros, whose gradient XLA compiles on
    every backend.

    Args:
        values: `(..., count)`.
        places: `(..., chosen)`, indices from 0 to `count - 1`, of any dtype.

    Returns:
        `(..., chosen)`.
    """
    here = is_at(places, values.shape[-1])
    return ops.sum(ops.where(here, values[..., None, :], 0.0), axis=-1)


def largest_of(slots: Tensor, weights: Tensor, count: int) -> Tensors:
    """Add up the weights of repeated slots, and keep the slots of largest weight.

    Args:
        slots: `(..., n)`; they may repeat.
        weights: `(..., n)`, at least 0.
        count: Number of slots to keep; above n, the result is padded with zeros.

    Returns:
        `[slots, weights]`, each `(..., count)`; the weights have a gradient.
    """
    weights = summed(slots, weights)
    kept = min(count, slots.shape[-1])
    places = stable_top_k(ops.stop_gradient(weights), kept)[1]
    missing = [(0, 0)] * (len(slots.shape) - 1) + [(0, count - kept)]
    return [ops.pad(values_at(part, places), missing) for part in (slots, weights)]


def linked_rows(
    rows: Tensor, links: tuple[Tensor, Tensor], new_weights: Tensor, targets: Tensor
) -> Tensors:
    """Add links to some rows of a sparse link matrix, and keep the largest of each row.

    A link from a slot to itself gets the weight 0.

    Args:
        rows: `(batch, count)`, the slots whose links change.
        links: `(slots, weights)` of the present links of these rows, each
            `(batch, count, kept)`.
        new_weights: `(batch, count, new)`, weights of the new links, at least 0.
        targets: `(batch, new)`, slots to which the new links lead.

    Returns:
        `[slots, weights]` of the links of these rows, each `(batch, count, kept)`.
    """
    # In Keras 3.12, `ops.tile` loses the static shape if the batch is unknown.
    new_slots = targets[:, None, :] + ops.zeros_like(rows)[:, :, None]
    is_self = ops.equal(new_slots, rows[:, :, None])
    new = new_slots, ops.where(is_self, 0.0, new_weights)
    slots, weights = (
        ops.concatenate(pair, axis=2) for pair in zip(links, new, strict=True)
    )
    return largest_of(slots, weights, links[0].shape[2])


def add_to_rows(
    table: Tensor,
    slots: Tensor,
    erased: Tensor,
    additions: Tensor,
    active: Tensor | None = None,
) -> Tensors:
    """Erase one row of each batch element, then add to some rows.

    The gradient is hand-written, because that of setting rows differs between backends
    if slots repeat.

    Args:
        table: `(batch, size, word_size)`.
        slots: `(batch, count)`; the additions of repeated slots add up.
        erased: `(batch, 1)`, the slot to erase, one of `slots`.
        additions: `(batch, count, word_size)`.
        active: Booleans `(batch,)`, the batch elements that change; `None` for all.
            Defaults to `None`.

    Returns:
        `[table, before, after]`: the new table, and the rows at `slots` before and
        after the change, `(batch, count, word_size)`, which have no gradient.

    Raises:
        ValueError: If the table has 2^31 rows or more in all batch elements.
    """
    tensors = [table, additions, slots, erased]
    if active is not None:
        tensors.append(ops.cast(active, additions.dtype))
    add = backend.with_gradient(_add_to_rows, _add_to_rows_gradient, save=True)
    return add(tensors)


def _add_to_rows(tensors: Tensors, save: bool) -> tuple[Tensors, tuple[()]]:
    """Compute the new table; the gradient needs only the arguments."""
    table, additions, slots, erased, *active = tensors
    before = gather_rows(table, slots)
    kept = ops.where(ops.equal(slots, erased)[:, :, None], 0.0, before)
    after = kept + ops.matmul(matches(slots, slots, additions.dtype), additions)
    if active:
        after = where_active(active[0] > 0.0, after, before)
    return [set_rows(table, slots, after), before, after], ()


def _add_to_rows_gradient(
    tensors: Tensors, saved: Any, gradients: Tensors
) -> list[Tensor | None]:
    """Return the gradients with respect to table and additions, `None` for others."""
    _, additions, slots, erased, *active = tensors
    by_table = gradients[0]
    by_additions = gather_rows(by_table, slots)
    by_erased = gather_rows(by_table, erased)
    after = ops.zeros_like(by_erased)
    if active:
        by_additions = by_additions * active[0][:, None, None]
        after = where_active(active[0] > 0.0, after, by_erased)
    by_table = set_rows(by_table, erased, after)
    return [by_table, by_additions, None, None, *(None for _ in active)]


def where_active(active: Tensor | None, new: Tensor, old: Tensor) -> Tensor:
    """Select between tensors by batch element.

    Args:
        active: Booleans `(batch,)`, the batch elements of `new`; `None` for all.
        new: `(batch, ...)`.
        old: Tensor of the same shape, for the other batch elements.

    Returns:
        `(batch, ...)`.
    """
    if active is None:
        return new
    return ops.where(ops.reshape(active, (-1,) + (1,) * (len(new.shape) - 1)), new, old)


def where_all_active(active: Tensor | None, new: Tensors, old: Tensors) -> Tensors:
    """Select between each pair of tensors of two lists by batch element.

    Args:
        active: Booleans `(batch,)`, the batch elements of `new`; `None` for all.
        new: List of tensors `(batch, ...)`.
        old: List of tensors of the same shapes, for the other batch elements.

    Returns:
        List of tensors `(batch, ...)`.
    """
    return [where_active(active, a, b) for a, b in zip(new, old, strict=True)]


def _flat(table: Tensor) -> Tensor:
    """Merge the axes of batch and rows."""
    return ops.reshape(table, (-1, *table.shape[2:]))


def _flat_slots(table: Tensor, slots: Tensor) -> Tensor:
    """Convert slots to indices of the rows of `_flat(table)`, `(batch, count)`."""
    batch = table.shape[0] if isinstance(table.shape[0], int) else 1  # not known
    rows = batch * table.shape[1]
    if rows >= 2**31:
        raise ValueError(
            "Argument `table` must have fewer than 2^31 rows in all samples, which are "
            f"numbered in int32: take a smaller batch. Received: {rows} rows"
        )
    slots = ops.cast(slots, "int32")
    first = ops.arange(ops.shape(slots)[0], dtype="int32") * table.shape[1]
    return slots + first[:, None]
