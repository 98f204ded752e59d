"""What a trace shows, as arrays over all slots, whichever cell it is of.

Sparse cells carry the few slots that a head reads, and links as lists; pictures
want a weight for every slot.
"""

import numpy as np

from keras_dnc.inspect.trace import Trace

_MOST_SLOTS = 64  # rows that can still be told apart in a picture


def head_weights(trace, verb, sequence, slots=None):
    """Give where each head reads or writes at every step of a sequence.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        verb: `"read"` or `"write"`.
        sequence: Number of the sequence in the batch.
        slots: Numbers of the slots to give, in rising order; `None` for all.

    Returns:
        `(time, heads, slots)`, rows sum to at most 1.

    Raises:
        ValueError: There is no such sequence.
    """
    trace.check(sequence, [f"{verb}_weights"])
    weights = getattr(trace, f"{verb}_weights")[sequence]
    slots = np.arange(trace.memory.shape[2]) if slots is None else slots
    if not hasattr(trace, f"{verb}_slots"):
        return weights[..., slots]
    return _spread(getattr(trace, f"{verb}_slots")[sequence], weights, slots)


def has_links(trace: Trace) -> bool:
    """Whether the cell links slots in the order of writing."""
    return any(
        hasattr(trace, name) for name in ("link", "link_slots", "backward_slots")
    )


def link_entries(trace, sequence, time):
    """List the links after one step; in a sparse memory, those there are.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        sequence: Number of the sequence in the batch.
        time: Step, from 0; -1 is the last.

    Returns:
        List of one `(after, before, weights)` a write head, arrays of as many numbers
        as there are links: how far slot `after` was written right after `before`.

    Raises:
        ValueError: The trace is of a cell without links, or has no such sequence.
    """
    trace.check(sequence)
    for lists in ("link", "backward"):
        if hasattr(trace, f"{lists}_slots"):
            before = getattr(trace, f"{lists}_slots")[sequence, time]
            weights = getattr(trace, f"{lists}_weights")[sequence, time]
            shape = (-1, *before.shape[-2:])
            pairs = zip(before.reshape(shape), weights.reshape(shape), strict=True)
            return [_listed(*pair) for pair in pairs]
    trace.check(sequence, ["link"])
    found = []
    for matrix in trace.link[sequence, time]:
        after, before = np.nonzero(matrix)
        found.append((after, before, matrix[after, before]))
    return found


def _listed(before, weights):
    """Give the entries of links that are kept as lists, `(memory_size, count)`."""
    after, place = np.nonzero(weights)
    return after, before[after, place].astype(int), weights[after, place]


def links(trace, sequence, time, slots):
    """Give the links between some slots after one step.

    Args:
        trace: As in `link_entries`.
        sequence: The same.
        time: The same.
        slots: Numbers of the slots, in rising order.

    Returns:
        `(num_writes, len(slots), len(slots))`; `[head, i, j]` is how far slot
        `slots[i]` was written right after slot `slots[j]`.

    Raises:
        ValueError: As `link_entries`.
    """
    found = []
    for after, before, weights in link_entries(trace, sequence, time):
        shown = np.isin(after, slots) & np.isin(before, slots)
        places = [np.searchsorted(slots, ends[shown]) for ends in (after, before)]
        matrix = np.zeros((len(slots), len(slots)), weights.dtype)
        np.add.at(matrix, tuple(places), weights[shown])
        found.append(matrix)
    return np.stack(found)


def _spread(places, weights, slots):
    """Add up weights `(..., count)` at `places`, of the same shape, by slot."""
    rows = weights.reshape(-1, weights.shape[-1])
    row, place = np.nonzero(np.isin(places.reshape(rows.shape), slots))
    column = np.searchsorted(slots, places.reshape(rows.shape)[row, place])
    found = np.zeros((len(rows), len(slots)), weights.dtype)
    np.add.at(found, (row, column), rows[row, place])
    return found.reshape(*weights.shape[:-1], len(slots))


def gates(trace):
    """List the names of a trace's gates, each `(batch, time, heads)`, in [0, 1]."""
    return sorted(name for name in vars(trace) if name.endswith("_gate"))


def slots_in_use(trace, sequence):
    """Choose the slots that pictures of a sequence show.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        sequence: Number of the sequence in the batch.

    Returns:
        Numbers of slots in rising order: all, or of a larger memory the 64 that are
        written to and read most.

    Raises:
        ValueError: There is no such sequence.
    """
    trace.check(sequence)
    total = np.zeros(trace.memory.shape[2])
    for verb in ("write", "read"):
        weights = getattr(trace, f"{verb}_weights")[sequence]
        if hasattr(trace, f"{verb}_slots"):
            places = getattr(trace, f"{verb}_slots")[sequence].astype(int)
            np.add.at(total, places, weights)
        else:
            total += weights.sum(axis=(0, 1))
    return np.sort(np.argsort(-total, kind="stable")[:_MOST_SLOTS])


def check_labels(labels, steps):
    """Give labels as a list of texts, or `None`; raise unless there is one a step."""
    if labels is None:
        return None
    labels = [str(label) for label in labels]
    if len(labels) != steps:
        raise ValueError(
            "Argument `labels` must have one label for each step of the sequence, "
            f"{steps}. Received: {len(labels)} labels"
        )
    return labels
