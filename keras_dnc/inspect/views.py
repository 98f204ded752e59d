"""What a trace shows, as arrays over all slots, whichever cell it is of.

Sparse cells carry the few slots that a head reads, and links as lists; pictures
want a weight for every slot.
"""

import numpy as np

from keras_dnc.inspect.trace import Trace


def head_weights(trace, verb, sequence):
    """Give where each head reads or writes at every step of a sequence.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        verb: `"read"` or `"write"`.
        sequence: Number of the sequence in the batch.

    Returns:
        `(time, heads, memory_size)`, rows sum to at most 1.
    """
    trace.check(sequence, [f"{verb}_weights"])
    weights = getattr(trace, f"{verb}_weights")[sequence]
    slots = getattr(trace, f"{verb}_slots", None)
    if slots is None:
        return weights
    return spread(slots[sequence], weights, trace.memory.shape[2])


def has_links(trace: Trace) -> bool:
    """Whether the cell links slots in the order of writing."""
    return any(
        hasattr(trace, name) for name in ("link", "link_slots", "backward_slots")
    )


def links(trace, sequence, time):
    """Give the links after one step.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        sequence: Number of the sequence in the batch.
        time: Step, from 0; -1 is the last.

    Returns:
        `(num_writes, memory_size, memory_size)`; `[head, i, j]` is how far slot i was
        written right after slot j.

    Raises:
        ValueError: The trace is of a cell without links, or has no such sequence.
    """
    slots = trace.memory.shape[2]
    if hasattr(trace, "link_slots"):
        where, weights = trace.link_slots, trace.link_weights
    elif hasattr(trace, "backward_slots"):
        where, weights = trace.backward_slots, trace.backward_weights
    else:
        trace.check(sequence, ["link"])
        return trace.link[sequence, time]
    found = spread(where[sequence, time], weights[sequence, time], slots)
    return found.reshape(-1, slots, slots)


def spread(slots, weights, size):
    """Add up weights by slot.

    Args:
        slots: `(..., count)`, numbers of slots; they may repeat.
        weights: `(..., count)`.
        size: Slots of the memory.

    Returns:
        `(..., size)`.
    """
    rows = weights.reshape(-1, weights.shape[-1])
    found = np.zeros((len(rows), size), weights.dtype)
    places = slots.reshape(rows.shape).astype(int)
    np.add.at(found, (np.arange(len(rows))[:, None], places), rows)
    return found.reshape(*weights.shape[:-1], size)


def busiest(weights, most):
    """Choose the slots to draw: all, or those with the most weight over time.

    Args:
        weights: `(time, heads, memory_size)`.
        most: How many there is room for.

    Returns:
        Numbers of slots in rising order.
    """
    total = weights.sum(axis=(0, 1))
    return np.sort(np.argsort(-total, kind="stable")[:most])


def check_labels(labels, steps):
    """Raise a `ValueError` unless there is one label a step, or `None`."""
    if labels is not None and len(labels) != steps:
        raise ValueError(
            "Argument `labels` must have one label for each step of the sequence, "
            f"{steps}. Received: {len(labels)} labels"
        )
