"""Pictures of a memory at work. Each function gives a matplotlib Figure.

Time runs to the right; under each step stands its token, where `labels` names them. The
`matplotlib` package is needed, and `networkx` for links: `pip install keras_dnc[plot]`.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_dnc.inspect import views
from keras_dnc.inspect.drawing import Heatmap
from keras_dnc.inspect.drawing import draw_gates
from keras_dnc.inspect.drawing import draw_heatmap
from keras_dnc.inspect.drawing import draw_links
from keras_dnc.inspect.drawing import name_steps
from keras_dnc.inspect.drawing import new_figure
from keras_dnc.inspect.drawing import scale_of_links
from keras_dnc.inspect.drawing import ticks
from keras_dnc.inspect.trace import Trace

Labels = Iterable | None  # of tokens, one a step


def all_plots(
    trace: Trace, labels: Labels = None, sequence: int = 0
) -> Iterator[tuple[str, Any]]:
    """Draw all that there is to see of one sequence.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        labels: The sequence's tokens, one a step, to stand under it; or `None`.
        sequence: Number of the sequence in the batch.

    Yields:
        `(name, figure)`: of each function here that this cell has something for.

    Raises:
        ValueError: There is no such sequence, or not one label a step; when the first
            of them is asked for.
    """
    over_time = {
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
) -> Any:
    """Draw what one sequence does to a memory, from top to bottom.

    Inputs, targets, outputs; where each head writes and reads; usage; the gates.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        targets: `(batch, time, target_size)`, in [0, 1]; `None` leaves them out, and
            shows outputs as they are instead of squashed into [0, 1].
        labels: The sequence's tokens, one a step, to stand under it; or `None`.
        sequence: Number of the sequence in the batch.
        title: Title of the figure.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: There is no such sequence, or not one label a step.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> cell = keras_dnc.DNCCell(3, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 5))
        >>> figure = plot_memory_use(trace(cell, np.zeros((2, 7, 5), "float32")))
        >>> figure.axes[2].get_title(loc="left")
        'where head 1 of 1 writes'
    """
    panels = [*_signal_panels(trace, targets, sequence)]
    panels += _weight_panels(trace, "write", sequence)
    panels += _weight_panels(trace, "read", sequence)
    panels += _usage_panels(trace, sequence)
    figure, axes = new_figure(len(panels) + 1, title)
    for axis, panel in zip(axes, panels, strict=False):
        draw_heatmap(figure, axis, panel)
    draw_gates(axes[-1], trace, sequence)
    name_steps(axes, labels, trace.mask[sequence])
    return figure


def plot_write_weights(
    trace: Trace,
    labels: Labels = None,
    sequence: int = 0,
    title: str = "Where heads write",
) -> Any:
    """Draw where each head writes, a panel for each.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        labels: The sequence's tokens, one a step, to stand under it; or `None`.
        sequence: Number of the sequence in the batch.
        title: Title of the figure.

    Returns:
        `matplotlib.figure.Figure`. Of more than 64 slots, those in use.

    Raises:
        ValueError: There is no such sequence, or not one label a step.
    """
    panels = _weight_panels(trace, "write", sequence)
    return _heatmaps(trace, panels, labels, sequence, title)


def plot_read_weights(
    trace: Trace,
    labels: Labels = None,
    sequence: int = 0,
    title: str = "Where heads read",
) -> Any:
    """Draw where each head reads, a panel for each.

    Args:
        trace: As in `plot_write_weights`.
        labels: The same.
        sequence: The same.
        title: The same.

    Returns:
        `matplotlib.figure.Figure`. Of more than 64 slots, those in use.

    Raises:
        ValueError: There is no such sequence, or not one label a step.
    """
    panels = _weight_panels(trace, "read", sequence)
    return _heatmaps(trace, panels, labels, sequence, title)


def plot_usage(
    trace: Trace,
    labels: Labels = None,
    sequence: int = 0,
    title: str = "Usage of each slot",
) -> Any:
    """Draw how far each slot is taken, 0 to 1.

    Args:
        trace: As in `plot_write_weights`; of a cell that keeps usage.
        labels: The same.
        sequence: The same.
        title: The same.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: The cell keeps no usage, there is no such sequence, or not one label
            a step.
    """
    trace.check(sequence, ["usage"])
    panels = _usage_panels(trace, sequence)
    return _heatmaps(trace, panels, labels, sequence, title)


def plot_gates(
    trace: Trace,
    labels: Labels = None,
    sequence: int = 0,
    title: str = "Gates",
) -> Any:
    """Draw how far each gate is open, a line for each head.

    Args:
        trace: As in `plot_write_weights`.
        labels: The same.
        sequence: The same.
        title: The same.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: There is no such sequence, or not one label a step.
    """
    trace.check(sequence)
    figure, axes = new_figure(1, title)
    draw_gates(axes[0], trace, sequence)
    name_steps(axes, labels, trace.mask[sequence])
    return figure


def plot_read_modes(
    trace: Trace,
    labels: Labels = None,
    sequence: int = 0,
    title: str = "How heads find what to read",
) -> Any:
    """Draw each read head's choice between links and content, as shares of 1.

    Args:
        trace: As in `plot_write_weights`; of a cell with links.
        labels: The same.
        sequence: The same.
        title: The same.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: The cell has no read modes, there is no such sequence, or not one
            label a step.
    """
    trace.check(sequence, ["read_mode"])
    modes = trace.read_mode[sequence]
    heads, names = modes.shape[1], _mode_names(modes.shape[2])
    figure, axes = new_figure(heads, title)
    for head, axis in enumerate(axes):
        below = np.zeros(len(modes))
        for name, shares in zip(names, modes[:, head].T, strict=True):
            axis.bar(np.arange(len(modes)), shares, 1.0, below, label=name)
            below = below + shares
        axis.set_title(f"read head {head + 1} of {heads}", fontsize=9, loc="left")
        axis.set_ylabel("share of the read")
        axis.set_ylim(0.0, 1.0)
    axes[0].legend(fontsize=7, ncols=len(names), loc="upper right")
    name_steps(axes, labels, trace.mask[sequence])
    return figure


def plot_memory(
    trace: Trace,
    times: Any = None,
    sequence: int = 0,
    title: str = "What is in the memory",
) -> Any:
    """Draw the memory after some steps, side by side.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        times: Steps, from 0; `None` for up to five, evenly apart.
        sequence: Number of the sequence in the batch.
        title: Title of the figure.

    Returns:
        `matplotlib.figure.Figure`. Of more than 64 slots, those in use.

    Raises:
        ValueError: There is no such sequence or step.
    """
    trace.check(sequence)
    memory = trace.memory[sequence]
    times = _steps_to_show(times, len(memory))
    slots = views.slots_in_use(trace, sequence)
    figure, axes = new_figure(1, title, len(times))
    bound = max(np.max(np.abs(memory[times][:, slots])), 1e-6)
    for axis, time in zip(axes, times, strict=True):
        image = axis.imshow(
            memory[time, slots], aspect="auto", cmap="RdBu", vmin=-bound, vmax=bound
        )
        axis.set_title(f"after step {time}", fontsize=9)
        axis.set_xlabel("number in the slot")
        axis.set_yticks(*ticks(slots))
    axes[0].set_ylabel("slot")
    figure.colorbar(image, ax=list(axes), label="value", pad=0.01)
    return figure


def plot_links(
    trace: Trace,
    time: int = -1,
    sequence: int = 0,
    threshold: float = 0.1,
    title: str = "In what order slots were written",
) -> Any:
    """Draw links as arrows, each from a slot to what was written right after it.

    Args:
        trace: As in `plot_write_weights`; of a cell with links.
        time: After which step, from 0; -1 is the last.
        sequence: Number of the sequence in the batch.
        threshold: Links of less weight are left out.
        title: Title of the figure.

    Returns:
        `matplotlib.figure.Figure`, a panel for each write head.

    Raises:
        ValueError: The cell has no links, or there is no such sequence or step.
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


def _heatmaps(trace, panels, labels, sequence, title):
    figure, axes = new_figure(len(panels), title)
    for axis, panel in zip(axes, panels, strict=True):
        draw_heatmap(figure, axis, panel)
    name_steps(axes, labels, trace.mask[sequence])
    return figure


def _signal_panels(trace, targets, sequence):
    """What goes in and comes out."""
    trace.check(sequence)
    yield Heatmap("input", "channel", "value", trace.inputs[sequence])
    if targets is None:
        yield Heatmap("output", "channel", "value", trace.output[sequence])
        return
    yield Heatmap("target", "channel", "value", np.asarray(targets)[sequence])
    probability = 1.0 / (1.0 + np.exp(-trace.output[sequence]))
    yield Heatmap("output", "channel", "probability", probability)


def _weight_panels(trace, verb, sequence):
    """One panel for each head that reads or writes."""
    slots = views.slots_in_use(trace, sequence)
    weights = views.head_weights(trace, verb, sequence, slots)
    heads = weights.shape[1]
    return [
        Heatmap(
            f"where head {head + 1} of {heads} {verb}s",
            "slot",
            "weight",
            weights[:, head],
            slots,
        )
        for head in range(heads)
    ]


def _usage_panels(trace, sequence):
    """Usage, where the cell keeps it."""
    if not hasattr(trace, "usage"):
        return []
    usage = trace.usage[sequence]
    slots = views.slots_in_use(trace, sequence)
    return [Heatmap("usage of each slot", "slot", "usage", usage[:, slots], slots)]


def _steps_to_show(times, steps):
    """Check steps, counted from the end where negative; or choose up to five."""
    if times is None:
        return np.unique(np.linspace(0, steps - 1, 5).round().astype(int))
    if any(time not in range(-steps, steps) for time in times):
        raise ValueError(
            f"A step must be an integer from 0 to {steps - 1}, or below 0 to count "
            f"from the end. Received: {list(times)}"
        )
    return np.array(times) % steps


def _mode_names(modes):
    """Name the columns of `read_mode`: backward and forward by head, then content."""
    heads = modes // 2
    number = [f" {head + 1}" for head in range(heads)] if heads > 1 else [""]
    backward = [f"backward{n}" for n in number]
    return [*backward, *(f"forward{n}" for n in number), "content"]
