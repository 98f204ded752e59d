"""Weights and links of a trace as arrays over all slots, for dense and sparse cells.

Sparse cells record the few slots that a head reads, and links as lists; plots need a
weight for every slot.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from keras_dnc.inspect.trace import Trace

_Links: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]

_MOST_SLOTS = 64  # rows that remain distinguishable in a plot
_LEAST_PEAK = 0.1  # largest weight of a slot in use, as a share of that of any slot


def head_weights(
    trace: Trace, verb: str, sequence: int, slots: np.ndarray | None = None
) -> np.ndarray:
    """Return the read or write weights of every head at every step of a sequence.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        verb: `"read"` or `"write"`.
        sequence: Index of the sequence in the batch.
        slots: `(count,)`, indices of the slots to include in rising order, or `None`
            for all slots. Defaults to `None`.

    Returns:
        `(time, heads, count)`, in [0, 1]; rows sum to at most 1.

    Raises:
        ValueError: If the batch has no sequence of this index.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> cell = keras_dnc.SAMCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> head_weights(trace(cell, np.zeros((2, 7, 5), "float32")), "write", 0).shape
        (7, 1, 16)
    """
    trace.check(sequence, [f"{verb}_weights"])
    weights = getattr(trace, f"{verb}_weights")[sequence]
    slots = np.arange(trace.memory.shape[2]) if slots is None else slots
    if not hasattr(trace, f"{verb}_slots"):
        return weights[..., slots]
    return _spread(getattr(trace, f"{verb}_slots")[sequence], weights, slots)


def has_links(trace: Trace) -> bool:
    """Return whether the traced cell links slots in the order of writing."""
    return any(
        hasattr(trace, name) for name in ("link", "link_slots", "backward_slots")
    )


def link_entries(trace: Trace, sequence: int, time: int) -> list[_Links]:
    """List the links that are not zero after one step.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        sequence: Index of the sequence in the batch.
        time: Index of the step; negative indices count from the end.

    Returns:
        List with one `(after, before, weights)` for each write head, three arrays
        `(links,)`: `weights`, in [0, 1], is the degree to which slot `after` was
        written right after slot `before`.

    Raises:
        ValueError: If the cell has no links, or the batch has no sequence of this
            index.
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


def _listed(before: np.ndarray, weights: np.ndarray) -> _Links:
    """Return the entries of links that are stored as lists, `(memory_size, count)`."""
    after, place = np.nonzero(weights)
    return after, before[after, place].astype(int), weights[after, place]


def links(trace: Trace, sequence: int, time: int, slots: np.ndarray) -> np.ndarray:
    """Return the link matrix of some slots after one step.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        sequence: Index of the sequence in the batch.
        time: Index of the step; negative indices count from the end.
        slots: `(count,)`, indices of the slots in rising order.

    Returns:
        `(num_writes, count, count)`, in [0, 1]; `[head, i, j]` is the degree to which
        slot `slots[i]` was written right after slot `slots[j]`.

    Raises:
        ValueError: If the cell has no links, or the batch has no sequence of this
            index.
    """
    found = []
    for after, before, weights in link_entries(trace, sequence, time):
        shown = np.isin(after, slots) & np.isin(before, slots)
        places = [np.searchsorted(slots, ends[shown]) for ends in (after, before)]
        matrix = np.zeros((len(slots), len(slots)), weights.dtype)
        np.add.at(matrix, tuple(places), weights[shown])
        found.append(matrix)
    return np.stack(found)


def _spread(places: np.ndarray, weights: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Add up weights `(..., count)` at `places`, of the same shape, by slot."""
    rows = weights.reshape(-1, weights.shape[-1])
    row, place = np.nonzero(np.isin(places.reshape(rows.shape), slots))
    column = np.searchsorted(slots, places.reshape(rows.shape)[row, place])
    found = np.zeros((len(rows), len(slots)), weights.dtype)
    np.add.at(found, (row, column), rows[row, place])
    return found.reshape(*weights.shape[:-1], len(slots))


def gates(trace: Trace) -> list[str]:
    """Return the sorted names of the gates, each `(batch, time, heads)` in [0, 1]."""
    return sorted(name for name in vars(trace) if name.endswith("_gate"))


def slots_in_use(trace: Trace, sequence: int) -> np.ndarray:
    """Choose the slots that the plots of a sequence show.

    A slot is in use if a head writes or reads it, at some step, with at least a tenth
    of the largest weight of any slot.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        sequence: Index of the sequence in the batch.

    Returns:
        `(count,)`, indices of slots in rising order: the slots in use, but of more than
        64 only the 64 that are written and read most.

    Raises:
        ValueError: If the batch has no sequence of this index.

    Example:
        >>> weights = np.array([[[[0.0, 1.0, 0.0, 0.0]], [[0.0, 0.0, 0.05, 0.9]]]])
        >>> moments = {"inputs": np.zeros((1, 2, 3)), "memory": np.zeros((1, 2, 4, 5))}
        >>> trace = Trace(write_weights=weights, read_weights=weights, **moments)
        >>> slots_in_use(trace, sequence=0).tolist()
        [1, 3]
    """
    trace.check(sequence)
    peak, total = np.zeros((2, trace.memory.shape[2]))
    for verb in ("write", "read"):
        weights = getattr(trace, f"{verb}_weights")[sequence]
        places = getattr(trace, f"{verb}_slots", None)
        if places is None:
            np.maximum(peak, weights.max(axis=(0, 1)), out=peak)
            total += weights.sum(axis=(0, 1))
        else:
            np.maximum.at(peak, places[sequence].astype(int), weights)
            np.add.at(total, places[sequence].astype(int), weights)
    used = np.flatnonzero(peak >= _LEAST_PEAK * np.max(peak))
    most = np.argsort(-total[used], kind="stable")[:_MOST_SLOTS]
    return np.sort(used[most])


def steps_read(trace: Trace, sequence: int) -> np.ndarray:
    """Return from which earlier steps the heads read.

    A write of weight w replaces the fraction w of what a slot holds. That is exact if a
    head erases what it writes over, and an approximation if it adds to it.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        sequence: Index of the sequence in the batch.

    Returns:
        `(time, heads, time)`, in [0, 1]: the fraction of the words that a head reads at
        a step which was written at an earlier step, or at the same one.

    Raises:
        ValueError: If the batch has no sequence of this index.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, num_reads=2)
        >>> cell.build((None, 5))
        >>> steps_read(trace(cell, np.zeros((2, 7, 5), "float32")), 0).shape
        (7, 2, 7)
    """
    written = np.minimum(head_weights(trace, "write", sequence).sum(axis=1), 1.0)
    read = head_weights(trace, "read", sequence)
    steps, slots = written.shape
    held = np.zeros((slots, steps))  # the fraction of a slot written at each step
    found = np.zeros((steps, read.shape[1], steps))
    for step in np.flatnonzero(trace.mask[sequence]):
        held *= 1.0 - written[step, :, None]
        held[:, step] = written[step]
        found[step] = read[step] @ held
    return found


def check_labels(labels: Iterable[Any] | None, steps: int) -> list[str] | None:
    """Return labels as a list of strings.

    Args:
        labels: Labels, one for each step, or `None`.
        steps: Number of steps.

    Returns:
        List of strings, or `None` if `labels` is `None`.

    Raises:
        ValueError: If the number of labels is not `steps`.
    """
    if labels is None:
        return None
    texts = [str(label) for label in labels]
    if len(texts) != steps:
        raise ValueError(
            "Argument `labels` must have one label for each step of the sequence, "
            f"{steps}. Received: {len(texts)} labels"
        )
    return texts
