"""Pictures of a memory at work. Each function gives a matplotlib Figure.

The `matplotlib` package is needed: `pip install keras_dnc[plot]`.
"""

from typing import NamedTuple

import numpy as np


def plot_memory_use(trace, targets=None, sequence=0, title="Memory over time"):
    """Draw what one sequence does to the memory of a DNC, from top to bottom.

    Inputs, targets, outputs; where each head writes and reads; usage; the gates.

    Args:
        trace: `keras_dnc.inspect.trace.Trace` of a `DNCCell`.
        targets: `(batch, time, target_size)`, in [0, 1]; `None` leaves them out, and
            shows outputs as they are instead of squashed into [0, 1].
        sequence: Number of the sequence in the batch.
        title: Title of the figure.

    Returns:
        `matplotlib.figure.Figure`.

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
    panels += _weight_panels("writes", trace.write_weights[sequence])
    panels += _weight_panels("reads", trace.read_weights[sequence])
    panels.append(Panel("usage of each slot", "slot", "usage", trace.usage[sequence]))
    figure, axes = _figure(len(panels) + 1, title)
    for axis, panel in zip(axes, panels, strict=False):
        _draw_heatmap(figure, axis, panel)
    _draw_gates(axes[-1], trace, sequence)
    for axis in axes:
        axis.set_xlabel("time (steps)", fontsize=8)
    return figure


class Panel(NamedTuple):
    """One heat map.

    Attributes:
        title: What it shows.
        rows: What a row is.
        color: What a colour stands for.
        values: `(time, rows)`.
    """

    title: str
    rows: str
    color: str
    values: np.ndarray


def _signal_panels(trace, targets, sequence):
    """What goes in and comes out."""
    yield Panel("input", "channel", "value", trace.inputs[sequence])
    if targets is None:
        yield Panel("output", "channel", "value", trace.output[sequence])
        return
    yield Panel("target", "channel", "value", np.asarray(targets)[sequence])
    probability = 1.0 / (1.0 + np.exp(-trace.output[sequence]))
    yield Panel("output", "channel", "probability", probability)


def _weight_panels(verb, weights):
    """One panel for each head, from weights `(time, heads, slots)`."""
    heads = weights.shape[1]
    return [
        Panel(
            f"where head {head + 1} of {heads} {verb}",
            "slot",
            "weight",
            weights[:, head],
        )
        for head in range(heads)
    ]


def _figure(panels, title):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.8 * panels), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    return figure, figure.subplots(panels, 1, sharex=True)


def _draw_heatmap(figure, axis, panel):
    """Draw time to the right; the colour bar gives the scale."""
    _, rows, color, values = panel
    low, high = min(0.0, np.min(values)), max(1.0, np.max(values))
    image = axis.imshow(
        values.T, aspect="auto", cmap="viridis", vmin=low, vmax=high, origin="lower"
    )
    axis.set_title(panel.title, fontsize=9, loc="left")
    axis.set_ylabel(rows)
    figure.colorbar(image, ax=axis, label=color, pad=0.01)


def _draw_gates(axis, trace, sequence):
    """Draw every gate as a line over time."""
    for name in ("write_gate", "allocation_gate", "free_gate"):
        gates = getattr(trace, name)[sequence]
        for head in range(gates.shape[1]):
            label = f"{name.replace('_', ' ')} {head + 1}"
            axis.plot(gates[:, head], label=label, marker=".")
    axis.set_ylim(-0.05, 1.05)
    axis.set_title("gates", fontsize=9, loc="left")
    axis.set_ylabel("openness (0 to 1)")
    axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.45), ncols=4)
