"""Rows of large tables: a few of each sample's are gathered, changed and set.

A table is `(batch, size, ...)`; slots are `(batch, count)`, whole numbers of any type,
each below `size`, and may repeat.
"""

from keras import ops

from keras_dnc import backend
from keras_dnc.ops.residuals import keep_choice


def gather_rows(table, slots):
    """Give the rows of `table` at `slots`, `(batch, count, ...)`."""
    return ops.take(_flat(table), _flat_slots(table, slots), axis=0)


def set_rows(table, slots, rows):
    """Give `table` with `rows` at `slots`; a slot that repeats must get equal rows."""
    slots = ops.reshape(_flat_slots(table, slots), (-1, 1))
    flat = ops.scatter_update(_flat(table), slots, _flat(rows))
    return ops.reshape(flat, (-1, *table.shape[1:]))


def matches(a, b, dtype):
    """Give 1 where a slot of `a` is one of `b`: `(batch, count of a, count of b)`."""
    return ops.cast(ops.equal(a[:, :, None], b[:, None, :]), dtype)


def is_first(slots):
    """Whether each of `slots`, `(..., count)`, is the first of those equal to it."""
    equal = ops.equal(slots[..., :, None], slots[..., None, :])
    earlier = ops.tri(slots.shape[-1], k=-1, dtype="bool")
    return ops.logical_not(ops.any(ops.logical_and(equal, earlier), axis=-1))


def summed(slots, weights):
    """Give the first of slots that repeat the sum of their weights, 0 to the others.

    Args:
        slots: `(..., count)`.
        weights: `(..., count)`.
    """
    same = ops.equal(slots[..., :, None], slots[..., None, :])
    same = ops.cast(same, weights.dtype)
    total = ops.sum(same * weights[..., None, :], axis=-1)
    return ops.where(is_first(slots), total, 0.0)


def weight_at(rows, slots, weights):
    """Give the sum of the weights at each of `rows`, `(batch, count)`."""
    return ops.sum(matches(rows, slots, weights.dtype) * weights[:, None, :], axis=-1)


def is_at(places, count):
    """Whether each of `count` places is each of `places`: `(..., chosen, count)`."""
    here = ops.arange(count, dtype="int32")
    return ops.equal(ops.cast(places, "int32")[..., None], here)


def largest_places(weights, count):
    """Return the places of the largest weights, without a gradient, as a residual.

    Args:
        weights: `(..., n)`.
        count: How many places, at most n.

    Returns:
        `(..., count)`, whole numbers of the type of `weights`.
    """

    def choose():
        places = ops.top_k(ops.stop_gradient(weights), count)[1]
        return ops.cast(places, weights.dtype)

    return keep_choice("largest_places", choose)


def values_at(values, places):
    """Return the values at `places` of the last axis.

    Each is a sum of one number and zeros: XLA compiles its gradient for every backend.

    Args:
        values: `(..., count)`.
        places: `(..., chosen)`, whole numbers below `count`.
    """
    here = is_at(places, values.shape[-1])
    return ops.sum(ops.where(here, values[..., None, :], 0.0), axis=-1)


def largest_of(slots, weights, count):
    """Add up the weights of slots that repeat, keep the largest.

    Args:
        slots: `(..., n)`.
        weights: `(..., n)`, at least 0.
        count: How many to keep; where n is less, zeros make up for it.

    Returns:
        `(slots, weights)`, each `(..., count)`; the weights have a gradient.
    """
    weights = summed(slots, weights)
    kept = min(count, slots.shape[-1])
    places = ops.top_k(ops.stop_gradient(weights), kept)[1]
    missing = [(0, 0)] * (len(slots.shape) - 1) + [(0, count - kept)]
    return [ops.pad(values_at(part, places), missing) for part in (slots, weights)]


def linked_rows(rows, links, new_weights, targets):
    """Add links from rows to targets, none to a row itself; keep each row's largest.

    Args:
        rows: `(batch, count)`, slots that the links lead from.
        links: Slots and weights of these rows, each `(batch, count, kept)`.
        new_weights: `(batch, count, targets)`.
        targets: `(batch, targets)`, slots.

    Returns:
        The new slots and weights, each `(batch, count, kept)`.
    """
    # Not `ops.tile`, which forgets the shape in Keras 3.12 where the batch is unknown.
    new_slots = targets[:, None, :] + ops.zeros_like(rows)[:, :, None]
    is_self = ops.equal(new_slots, rows[:, :, None])
    new = new_slots, ops.where(is_self, 0.0, new_weights)
    both = (ops.concatenate(pair, axis=2) for pair in zip(links, new, strict=True))
    return largest_of(*both, links[0].shape[2])


def add_to_rows(table, slots, erased, additions, active=None):
    """Wipe one row of each sample, then add to some.

    Its gradient is written by hand: that of setting rows differs between backends where
    slots repeat.

    Args:
        table: `(batch, size, word)`.
        slots: `(batch, count)`; those that repeat add up.
        erased: `(batch, 1)`, the slot that is wiped; it must be one of `slots`.
        additions: `(batch, count, word)`.
        active: `(batch,)`, which samples change at all; `None` for all.

    Returns:
        `(table, before, after)`: the new table, and the rows at `slots`, which have no
        gradient.
    """
    tensors = [table, additions, slots, erased]
    if active is not None:
        tensors.append(ops.cast(active, additions.dtype))
    add = backend.with_gradient(_add_to_rows, _add_to_rows_gradient, save=True)
    return add(tensors)


def _add_to_rows(tensors, save):
    table, additions, slots, erased, *active = tensors
    before = gather_rows(table, slots)
    kept = ops.where(ops.equal(slots, erased)[:, :, None], 0.0, before)
    after = kept + ops.matmul(matches(slots, slots, additions.dtype), additions)
    if active:
        after = where_active(active[0] > 0.0, after, before)
    return [set_rows(table, slots, after), before, after], ()


def _add_to_rows_gradient(tensors, saved, gradients):
    _, additions, slots, erased, *active = tensors
    by_table = gradients[0]
    by_additions = gather_rows(by_table, slots)
    wiped = gather_rows(by_table, erased)
    after = ops.zeros_like(wiped)
    if active:
        by_additions = by_additions * active[0][:, None, None]
        after = where_active(active[0] > 0.0, after, wiped)
    by_table = set_rows(by_table, erased, after)
    return [by_table, by_additions, None, None, *(None for _ in active)]


def where_active(active, new, old):
    """Take `new` in the samples that are active, `(batch,)`, or in all if `None`."""
    if active is None:
        return new
    return ops.where(ops.reshape(active, (-1,) + (1,) * (len(new.shape) - 1)), new, old)


def _flat(table):
    """Put the rows of all samples in one axis."""
    return ops.reshape(table, (-1, *table.shape[2:]))


def _flat_slots(table, slots):
    """Number the rows of `_flat(table)`."""
    rows = (table.shape[0] or 1) * table.shape[1]
    if rows >= 2**31:
        raise ValueError(
            "Argument `table` must have fewer than 2^31 rows in all samples, which are "
            f"numbered in int32: take a smaller batch. Received: {rows} rows"
        )
    slots = ops.cast(slots, "int32")
    first = ops.arange(ops.shape(slots)[0], dtype="int32") * table.shape[1]
    return slots + first[:, None]
