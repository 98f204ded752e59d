"""Plots of a recorded memory. Each function returns a matplotlib Figure.

Time runs to the right, and `labels` names the steps below the time axis. These
functions need the `matplotlib` package, and `networkx` for links:
`pip install keras_dnc[plot]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from keras_dnc.inspect import panels
from keras_dnc.inspect import views
from keras_dnc.inspect.drawing import draw_links
from keras_dnc.inspect.drawing import draw_memory
from keras_dnc.inspect.drawing import draw_overview
from keras_dnc.inspect.drawing import draw_panel
from keras_dnc.inspect.drawing import draw_shares
from keras_dnc.inspect.drawing import name_steps
from keras_dnc.inspect.drawing import new_figure
from keras_dnc.inspect.drawing import scale_of_links
from keras_dnc.inspect.panels import Panel
from keras_dnc.inspect.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Labels: TypeAlias = Iterable[Any] | None  # of tokens, one for each step


def all_plots(
    trace: Trace, labels: Labels = None, sequence: int = 0
) -> Iterator[tuple[str, Figure]]:
    """Draw every plot of one sequence that the cell has states or controls for.

    Args:
        trace: Record of a memory cell, from `keras_dnc.inspect.trace.trace`.
        labels: Tokens of the sequence, one for each step, to show below the time axis;
            or `None`. Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.

    Yields:
        `(name, figure)`: the name of the function of this module that draws the plot,
        and its `matplotlib.figure.Figure`.

    Raises:
        ValueError: If the batch has no sequence of this index, or the number of labels
            is not the number of steps. Raised on the first iteration.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> cell = keras_dnc.NTMCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> recorded = trace(cell, np.zeros((2, 7, 5), "float32"))
        >>> [name for name, _ in all_plots(recorded)][:2]
        ['plot_write_weights', 'plot_read_weights']
    """
    labels = None if labels is None else list(labels)  # each figure reads them
    over_time: dict[str, Callable[[Trace, Labels, int], Figure]] = {
        "write_weights": plot_write_weights,
        "read_weights": plot_read_weights,
        "usage": plot_usage,
        "read_mode": plot_read_modes,
    }
    for needed, plot in over_time.items():
        if hasattr(trace, needed):
            yield plot.__name__, plot(trace, labels, sequence)
    if views.gates(trace):
        yield plot_gates.__name__, plot_gates(trace, labels, sequence)
    yield plot_memory.__name__, plot_memory(trace, sequence=sequence)
    if views.has_links(trace):
        yield plot_links.__name__, plot_links(trace, sequence=sequence)


def plot_memory_use(
    trace: Trace,
    targets: Any = None,
    labels: Labels = None,
    sequence: int = 0,
    title: str = "Memory over time",
    classes: Sequence[str] | None = None,
    logits: Any = None,
) -> Figure:
    """Draw inputs, outputs, weights, usage and gates of one sequence on one slide.

    The panels are, from top to bottom: inputs, targets and outputs; writes; reads;
    usage; gates. They share one time axis. Up to two write heads and up to four read
    heads share a panel: they stand side by side within a step, each in its colour. Of
    more heads, the panel shows the largest weight of any head.

    Args:
        trace: Record of a memory cell, from `keras_dnc.inspect.trace.trace`.
        targets: `(batch, time, target_size)`, in [0, 1]. If given, outputs are shown as
            probabilities, the sigmoids of the logits. `None` omits the targets and
            shows the outputs unchanged. Defaults to `None`.
        labels: Tokens of the sequence, one for each step, to show below the time axis;
            or `None`. Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        title: Title of the figure. Defaults to `"Memory over time"`.
        classes: Names of the classes if the outputs are logits of classes, such as the
            words of a vocabulary; or `None`. If given, the panel of the outputs shows
            the probabilities of the classes that reach 10 % at any step. Defaults to
            `None`.
        logits: `(batch, time, classes)`, outputs of the model, if other layers follow
            the cell; or `None` for the outputs of the cell. Defaults to `None`.

    Returns:
        `matplotlib.figure.Figure` of 12.8 x 7.2 inches (16:9). Only slots in use are
        shown, and at most the 64 that are written and read most.

    Raises:
        ValueError: If the batch has no sequence of this index, or the number of labels
            is not the number of steps, or the number of classes not that of logits.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> figure = plot_memory_use(trace(cell, np.zeros((2, 7, 5), "float32")))
        >>> [axis.get_ylabel().split()[0] for axis in figure.axes]
        ['input', 'output', 'writes', 'reads', 'usage', 'gates']
    """
    shown = panels.over_time(trace, targets, sequence, classes, logits)
    figure, axes = draw_overview(shown, title)
    name_steps(axes, labels, trace.mask[sequence])
    return figure


def plot_write_weights(
    trace: Trace,
    labels: Labels = None,
    sequence: int = 0,
    title: str = "Where heads write",
) -> Figure:
    """Draw the write weights of one sequence, one panel for each head.

    Args:
        trace: Record of a memory cell, from `keras_dnc.inspect.trace.trace`.
        labels: Tokens of the sequence, one for each step, to show below the time axis;
            or `None`. Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        title: Title of the figure. Defaults to `"Where heads write"`.

    Returns:
        `matplotlib.figure.Figure`. Only slots in use are shown, and at most
        the 64 that are written and read most.

    Raises:
        ValueError: If the batch has no sequence of this index, or the number of labels
            is not the number of steps.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> recorded = trace(cell, np.zeros((2, 7, 5), "float32"))
        >>> plot_write_weights(recorded).get_suptitle()
        'Where heads write'
    """
    shown = panels.each_head(trace, "write", sequence)
    return _heatmaps(trace, shown, labels, sequence, title)


def plot_read_weights(
    trace: Trace,
    labels: Labels = None,
    sequence: int = 0,
    title: str = "Where heads read",
) -> Figure:
    """Draw the read weights of one sequence, one panel for each head.

    Args:
        trace: Record of a memory cell, from `keras_dnc.inspect.trace.trace`.
        labels: Tokens of the sequence, one for each step, to show below the time axis;
            or `None`. Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        title: Title of the figure. Defaults to `"Where heads read"`.

    Returns:
        `matplotlib.figure.Figure`. Only slots in use are shown, and at most
        the 64 that are written and read most.

    Raises:
        ValueError: If the batch has no sequence of this index, or the number of labels
            is not the number of steps.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> recorded = trace(cell, np.zeros((2, 7, 5), "float32"))
        >>> plot_read_weights(recorded).get_suptitle()
        'Where heads read'
    """
    shown = panels.each_head(trace, "read", sequence)
    return _heatmaps(trace, shown, labels, sequence, title)


def plot_usage(
    trace: Trace,
    labels: Labels = None,
    sequence: int = 0,
    title: str = "Usage of each slot",
) -> Figure:
    """Draw the usage of each slot over time, from 0 (free) to 1 (in use).

    Args:
        trace: Record of a memory cell, from `keras_dnc.inspect.trace.trace`;
            the cell must have usage.
        labels: Tokens of the sequence, one for each step, to show below the time axis;
            or `None`. Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        title: Title of the figure. Defaults to `"Usage of each slot"`.

    Returns:
        `matplotlib.figure.Figure`. Only slots in use are shown, and at most
        the 64 that are written and read most.

    Raises:
        ValueError: If the cell has no usage, the batch has no sequence of this index,
            or the number of labels is not the number of steps.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> recorded = trace(cell, np.zeros((2, 7, 5), "float32"))
        >>> plot_usage(recorded).get_suptitle()
        'Usage of each slot'
    """
    trace.check(sequence, ["usage"])
    shown = panels.usage(trace, sequence)
    return _heatmaps(trace, shown, labels, sequence, title)


def plot_gates(
    trace: Trace,
    labels: Labels = None,
    sequence: int = 0,
    title: str = "Gates",
) -> Figure:
    """Draw every gate over time, from 0 (closed) to 1 (open), one row for each head.

    Args:
        trace: Record of a memory cell, from `keras_dnc.inspect.trace.trace`.
        labels: Tokens of the sequence, one for each step, to show below the time axis;
            or `None`. Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        title: Title of the figure. Defaults to `"Gates"`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: If the cell has no gates, the batch has no sequence of this index,
            or the number of labels is not the number of steps.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> recorded = trace(cell, np.zeros((2, 7, 5), "float32"))
        >>> plot_gates(recorded).axes[0].get_title(loc="left")
        'gates'
    """
    shown = panels.gates(trace, sequence)
    if not shown:
        trace.check(sequence, ["write_gate"])
    return _heatmaps(trace, shown, labels, sequence, title)


def plot_read_modes(
    trace: Trace,
    labels: Labels = None,
    sequence: int = 0,
    title: str = "How heads find what to read",
) -> Figure:
    """Draw how much each read head follows links or searches by content.

    The shares of the modes sum to 1: backward and forward along the links, and content.

    Args:
        trace: Record of a memory cell, from `keras_dnc.inspect.trace.trace`;
            the cell must have links.
        labels: Tokens of the sequence, one for each step, to show below the time axis;
            or `None`. Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        title: Title of the figure. Defaults to `"How heads find what to read"`.

    Returns:
        `matplotlib.figure.Figure`, one panel for each read head.

    Raises:
        ValueError: If the cell has no read modes, the batch has no sequence of this
            index, or the number of labels is not the number of steps.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> recorded = trace(cell, np.zeros((2, 7, 5), "float32"))
        >>> plot_read_modes(recorded).axes[0].get_title(loc="left")
        'read head 1 of 1'
    """
    trace.check(sequence, ["read_mode"])
    modes = trace.read_mode[sequence]
    heads, names = modes.shape[1], _mode_names(modes.shape[2])
    figure, axes = new_figure(heads, title)
    for head, axis in enumerate(axes):
        draw_shares(axis, modes[:, head], names)
        axis.set_title(f"read head {head + 1} of {heads}", fontsize=9, loc="left")
        axis.set_ylabel("share of the read")
    axes[0].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    name_steps(axes, labels, trace.mask[sequence])
    return figure


def plot_memory(
    trace: Trace,
    times: Sequence[int] | None = None,
    sequence: int = 0,
    title: str = "What is in the memory",
) -> Figure:
    """Draw the memory after some steps, side by side.

    Args:
        trace: Record of a memory cell, from `keras_dnc.inspect.trace.trace`.
        times: Indices of steps; negative indices count from the end. `None` for up to
            five steps at even distances. Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        title: Title of the figure. Defaults to `"What is in the memory"`.

    Returns:
        `matplotlib.figure.Figure`. Only slots in use are shown, and at most
        the 64 that are written and read most.

    Raises:
        ValueError: If there is no sequence or step of one of the indices.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> recorded = trace(cell, np.zeros((2, 7, 5), "float32"))
        >>> [axis.get_title() for axis in plot_memory(recorded, [0, -1]).axes[:2]]
        ['after step 0', 'after step 6']
    """
    trace.check(sequence)
    memory = trace.memory[sequence]
    steps = _steps_to_show(times, len(memory))
    slots = views.slots_in_use(trace, sequence)
    figure, axes = new_figure(1, title, len(steps))
    bound = max(np.max(np.abs(memory[steps][:, slots])), 1e-6)
    for axis, time in zip(axes, steps, strict=True):
        image = draw_memory(axis, memory[time, slots], slots, bound)
        axis.set_title(f"after step {time}", fontsize=9)
        axis.label_outer()
    figure.colorbar(image, ax=list(axes), label="value", pad=0.01)
    return figure


def plot_links(
    trace: Trace,
    time: int = -1,
    sequence: int = 0,
    threshold: float = 0.1,
    title: str = "In what order slots were written",
) -> Figure:
    """Draw links as arrows from each slot to the slot that was written next.

    Args:
        trace: Record of a memory cell, from `keras_dnc.inspect.trace.trace`;
            the cell must have links.
        time: Index of the step after which the links are drawn; negative indices count
            from the end. Defaults to -1.
        sequence: Index of the sequence in the batch. Defaults to 0.
        threshold: Links of at most this weight are omitted. Defaults to 0.1.
        title: Title of the figure. Defaults to `"In what order slots were written"`.

    Returns:
        `matplotlib.figure.Figure`, one panel for each write head.

    Raises:
        ValueError: If the cell has no links, or there is no sequence or step of this
            index.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> recorded = trace(cell, np.zeros((2, 7, 5), "float32"))
        >>> plot_links(recorded).axes[0].get_title()
        'write head 1 of 1, after step 6'
    """
    time = _steps_to_show([time], len(trace.inputs[0]))[0]
    heads = views.link_entries(trace, sequence, time)
    figure, axes = new_figure(1, title, len(heads), height=5.0)
    for head, axis in enumerate(axes):
        draw_links(axis, heads[head], threshold)
        axis.set_title(f"write head {head + 1} of {len(heads)}, after step {time}")
        axis.set_xlabel("circles: slots, by number; arrow: written right after")
    scale = scale_of_links(threshold)
    figure.colorbar(scale, ax=list(axes), label="weight of the link", pad=0.01)
    return figure


def _heatmaps(
    trace: Trace, shown: list[Panel], labels: Labels, sequence: int, title: str
) -> Figure:
    """Draw panels from top to bottom."""
    figure, axes = new_figure(len(shown), title)
    for axis, panel in zip(axes, shown, strict=True):
        draw_panel(axis, panel)
        axis.set_title(panel.title, fontsize=9, loc="left")
        axis.set_ylabel(panel.kind)
    name_steps(axes, labels, trace.mask[sequence])
    return figure


def _steps_to_show(times: Sequence[int] | None, steps: int) -> np.ndarray:
    """Return checked indices of steps from 0, or up to five evenly spaced ones."""
    if times is None:
        return np.unique(np.linspace(0, steps - 1, 5).round().astype(int))
    if any(time not in range(-steps, steps) for time in times):
        raise ValueError(
            f"Argument `times` must be integers from 0 to {steps - 1}, or below 0 to "
            f"count from the end. Received: times={list(times)}"
        )
    return np.array(times) % steps


def _mode_names(modes: int) -> list[str]:
    """Name the columns of `read_mode`: backward and forward by head, then content."""
    heads = modes // 2
    number = [f" {head + 1}" for head in range(heads)] if heads > 1 else [""]
    backward = [f"backward{n}" for n in number]
    return [*backward, *(f"forward{n}" for n in number), "content"]
