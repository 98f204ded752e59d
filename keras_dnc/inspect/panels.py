"""Panels: the numbers and the words of a picture, whatever library draws it.

The figures of `plots` and the page of `report` draw the same panels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_dnc.inspect import colors
from keras_dnc.inspect import views
from keras_dnc.inspect.trace import Trace

_LEAST_PROBABILITY = 0.1  # of a class that is shown
_MOST_CLASSES = 8  # rows that remain legible in a panel


class Panel(NamedTuple):
    """Content and labels of one heat map with time to the right.

    Attributes:
        title: What is shown, in a few words.
        caption: One sentence that says how to read the panel.
        kind: Label of the vertical axis: the kind of the rows.
        quantity: Label of the colour bar: the quantity that colours encode.
        values: `(time, rows)`, or `(time, heads, rows)` of several heads.
        names: Names of the rows, from bottom to top.
        heads: Colour of each head that the panel shows, as `"#rrggbb"`; empty if it
            shows no head, or more than there are colours. Defaults to empty.
    """

    title: str
    caption: str
    kind: str
    quantity: str
    values: np.ndarray
    names: list[str]
    heads: tuple[str, ...] = ()

    @property
    def limits(self) -> tuple[float, float]:
        """Values of the first and of the last colour."""
        return limits(self.values)

    @property
    def scales(self) -> list[tuple[str, ...]]:
        """Colours from the least to the largest value, of each head if it has heads."""
        if self.heads:
            return [colors.scale_of_head(color) for color in self.heads]
        return [colors.scale(signed=self.limits[0] < 0.0)]


class State(NamedTuple):
    """Content and labels of a heat map of one state after each step.

    Attributes:
        title: What is shown, in a few words.
        caption: One sentence that says how to read the panel.
        across: Label of the horizontal axis: the kind of the columns.
        kind: Label of the vertical axis: the kind of the rows.
        quantity: Label of the colour bar: the quantity that colours encode.
        values: `(time, rows, columns)`.
        names: Names of the rows, from bottom to top.
        columns: Names of the columns, from left to right.
    """

    title: str
    caption: str
    across: str
    kind: str
    quantity: str
    values: np.ndarray
    names: list[str]
    columns: list[str]


def limits(values: np.ndarray) -> tuple[float, float]:
    """Return the range of the colours: at least [0, 1], or symmetric around 0.

    Args:
        values: Array of any shape.

    Returns:
        `(low, high)`: `(0, max)` with a maximum of at least 1 if no value is negative,
        otherwise `(-bound, bound)`.

    Example:
        >>> limits(np.array([0.2, 0.4])), limits(np.array([-3.0, 2.0]))
        ((0.0, 1.0), (-3.0, 3.0))
    """
    if np.min(values) >= 0.0:
        return 0.0, max(1.0, float(np.max(values)))
    bound = float(np.max(np.abs(values)))
    return -bound, bound


def over_time(
    trace: Trace,
    targets: Any = None,
    sequence: int = 0,
    classes: Sequence[str] | None = None,
    logits: Any = None,
) -> list[Panel]:
    """Build every panel with time to the right, in reading order.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        targets: `(batch, time, target_size)` in [0, 1], or `None`. Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        classes: Names of the classes, or `None`. Defaults to `None`.
        logits: `(batch, time, classes)`, or `None`. Defaults to `None`.

    Returns:
        List of `Panel`: inputs, targets, outputs, writes, reads, usage and gates.

    Raises:
        ValueError: If the batch has no sequence of this index, or there are not as many
            classes as logits.
    """
    found = list(signals(trace, targets, sequence, classes, logits))
    for verb in ("write", "read"):
        found += weights(trace, verb, sequence)
    return [*found, *usage(trace, sequence), *gates(trace, sequence)]


def signals(
    trace: Trace,
    targets: Any = None,
    sequence: int = 0,
    classes: Sequence[str] | None = None,
    logits: Any = None,
) -> Iterator[Panel]:
    """Yield the panels of inputs, targets and outputs.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        targets: `(batch, time, target_size)` in [0, 1], or `None`. Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        classes: Names of the classes, or `None`. Defaults to `None`.
        logits: `(batch, time, classes)`, or `None`. Defaults to `None`.

    Yields:
        `Panel`.

    Raises:
        ValueError: If the batch has no sequence of this index, or there are not as many
            classes as logits.
    """
    trace.check(sequence)
    yield _signal("input", "What the cell receives.", "value", trace.inputs[sequence])
    if targets is not None:
        wanted = np.asarray(targets)[sequence]
        yield _signal("target", "What the output should be.", "value", wanted)
    output = trace.output[sequence]
    if classes is not None:
        yield _classes(probabilities(trace, sequence, classes, logits), classes)
    elif targets is not None:
        # exp(-|x|) does not overflow, whatever the sign of the logit.
        small = np.exp(-np.abs(output))
        chance = np.where(output < 0.0, small, 1.0) / (1.0 + small)
        caption = "Probability of a one, the sigmoid of the output."
        yield _signal("output", caption, "probability", chance)
    else:
        yield _signal("output", "What the cell returns.", "value", output)


def probabilities(
    trace: Trace, sequence: int, classes: Sequence[str], logits: Any = None
) -> np.ndarray:
    """Compute the probability of each class at each step.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        sequence: Index of the sequence in the batch.
        classes: Names of the classes.
        logits: `(batch, time, classes)`, outputs of the model; or `None` for the
            outputs of the cell. Defaults to `None`.

    Returns:
        `(time, classes)`, in [0, 1]; rows sum to 1.

    Raises:
        ValueError: If there are not as many classes as logits.
    """
    found = np.asarray(trace.output if logits is None else logits)[sequence]
    if found.shape != (trace.inputs.shape[1], len(classes)):
        raise ValueError(
            "Argument `classes` must have one name for each logit of each step. "
            f"Received: {len(classes)} classes, and logits of shape {found.shape} for "
            f"{trace.inputs.shape[1]} steps"
        )
    raised = np.exp(found - np.max(found, axis=1, keepdims=True))
    return raised / np.sum(raised, axis=1, keepdims=True)


def weights(trace: Trace, verb: str, sequence: int = 0) -> list[Panel]:
    """Build the panel of the weights of all heads that read or write.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        verb: `"read"` or `"write"`.
        sequence: Index of the sequence in the batch. Defaults to 0.

    Returns:
        List of one `Panel`, in which each head has its colour; of more heads than there
        are colours, the panel shows the largest weight of any head.

    Raises:
        ValueError: If the batch has no sequence of this index.
    """
    slots = views.slots_in_use(trace, sequence)
    found = views.head_weights(trace, verb, sequence, slots)
    heads = found.shape[1]
    palette = colors.heads(verb)[:heads]
    title = f"{verb}s" if heads == 1 else f"{verb}s of {heads} heads"
    caption = f"The slots that the head {verb}s at each step."
    if heads > 1:
        caption = f"The slots that each head {verb}s, side by side within a step."
    if heads > len(palette):
        caption = f"The largest weight of the {heads} heads that {verb}."
        found, palette = found.max(axis=1), ()
    found = found[:, 0] if heads == 1 else found
    return [Panel(title, caption, "slot", "weight", found, _text(slots), palette)]


def each_head(trace: Trace, verb: str, sequence: int = 0) -> list[Panel]:
    """Build one panel for each head that reads or writes.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        verb: `"read"` or `"write"`.
        sequence: Index of the sequence in the batch. Defaults to 0.

    Returns:
        List of `Panel`, the first head first.

    Raises:
        ValueError: If the batch has no sequence of this index.
    """
    slots = views.slots_in_use(trace, sequence)
    found = views.head_weights(trace, verb, sequence, slots)
    heads, palette = found.shape[1], colors.heads(verb)
    caption = f"The slots that the head {verb}s at each step."
    return [
        Panel(
            f"where head {head + 1} of {heads} {verb}s",
            *(caption, "slot", "weight", found[:, head], _text(slots)),
            palette[head : head + 1],
        )
        for head in range(heads)
    ]


def usage(trace: Trace, sequence: int = 0) -> list[Panel]:
    """Build the panel of usage, if the cell has usage; otherwise an empty list."""
    trace.check(sequence)
    if not hasattr(trace, "usage"):
        return []
    slots = views.slots_in_use(trace, sequence)
    caption = "How far each slot is in use; 0 is free."
    found = trace.usage[sequence][:, slots]
    return [Panel("usage", caption, "slot", "usage", found, _text(slots))]


def gates(trace: Trace, sequence: int = 0) -> list[Panel]:
    """Build the panel of all gates, a row each; an empty list of a cell without."""
    trace.check(sequence)
    rows: dict[str, np.ndarray] = {}
    for field in views.gates(trace):
        heads = getattr(trace, field)[sequence].T
        name = field.removesuffix("_gate").replace("_", " ")
        for number, values in enumerate(heads, start=1):
            rows[f"{name} {number}" if len(heads) > 1 else name] = values
    if not rows:
        return []
    names = list(rows)[::-1]  # rows go upwards: the first gate comes last
    found = np.stack([rows[name] for name in names], axis=1)
    caption = "How far each gate is open: 0 is closed, 1 is open."
    return [Panel("gates", caption, "gate", "openness", found, names)]


def ticks(
    names: Sequence[Any] | np.ndarray, most: int = 8
) -> tuple[np.ndarray, list[str]]:
    """Choose evenly spaced rows to label.

    Args:
        names: Names of all rows.
        most: Approximate number of labels. Defaults to 8.

    Returns:
        `(places, labels)`: indices of the rows and the text for each.
    """
    places = np.arange(0, len(names), -(-len(names) // most))
    return places, [str(names[place]) for place in places.tolist()]


def states(trace: Trace, sequence: int = 0) -> list[State]:
    """Build the panels of the memory, and of the links of each write head.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        sequence: Index of the sequence in the batch. Defaults to 0.

    Returns:
        List of `State`; of a cell without links, the memory alone.

    Raises:
        ValueError: If the batch has no sequence of this index.
    """
    slots = views.slots_in_use(trace, sequence)
    words, names = trace.memory[sequence][:, slots], _text(slots)
    caption = "The word in each slot after the step."
    labels = ("memory", caption, "feature", "slot", "value")
    found = [State(*labels, words, names, _text(range(words.shape[2])))]
    if not views.has_links(trace):
        return found
    steps = range(len(words))
    links = [views.links(trace, sequence, time, slots) for time in steps]
    for head, over_time in enumerate(np.stack(links, axis=1), start=1):
        title = f"links of write head {head}"
        caption = "Row: written right after the column."
        labels = (title, caption, "written before", "written after", "weight")
        found.append(State(*labels, over_time, names, names))
    return found


def _signal(title: str, caption: str, quantity: str, values: np.ndarray) -> Panel:
    """Build the panel of channels `(time, channels)`."""
    names = _text(range(values.shape[1]))
    return Panel(title, caption, "channel", quantity, values, names)


def _classes(found: np.ndarray, classes: Sequence[str]) -> Panel:
    """Build the panel of the classes that are probable at any step."""
    peaks = found.max(axis=0)
    rows = np.argsort(-peaks, kind="stable")[:_MOST_CLASSES]
    rows = np.sort(rows[peaks[rows] >= _LEAST_PROBABILITY])
    rows = rows if len(rows) else np.array([np.argmax(peaks)])
    caption = "Probability of each class; classes that never reach 10 % are left out."
    names = [str(classes[row]) for row in rows]
    return Panel("output", caption, "class", "probability", found[:, rows], names)


def _text(names: Iterable[Any]) -> list[str]:
    """Convert names to strings."""
    return [str(name) for name in names]
