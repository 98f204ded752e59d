"""How pictures are drawn: figures, heat maps, gates, links, and the axis of time.

The `matplotlib` package is needed, and `networkx` for links.
"""

from typing import NamedTuple

import numpy as np

from keras_dnc.inspect import views

_MOST_LABELS = 60  # tokens that can stand beside each other under a picture


class Heatmap(NamedTuple):
    """One heat map.

    Attributes:
        title: What it shows.
        rows: What a row is.
        color: What a colour stands for.
        values: `(time, rows)`.
        names: Names of the rows, or `None` for their numbers.
    """

    title: str
    rows: str
    color: str
    values: np.ndarray
    names: list | None = None


def new_figure(rows, title, columns=1, height=1.8):
    """Give a figure that needs no screen, and its axes in a row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = (max(8, 3 * columns), max(3.0, height * rows))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, sharex=columns == 1, squeeze=False)
    return figure, axes.ravel()


def draw_heatmap(figure, axis, panel):
    """Draw time to the right; the colour bar gives the scale."""
    values = panel.values
    low, high = min(0.0, np.min(values)), max(1.0, np.max(values))
    image = axis.imshow(
        values.T, aspect="auto", cmap="viridis", vmin=low, vmax=high, origin="lower"
    )
    axis.set_title(panel.title, fontsize=9, loc="left")
    axis.set_ylabel(panel.rows)
    if panel.names is not None:
        axis.set_yticks(*ticks(panel.names))
    figure.colorbar(image, ax=axis, label=panel.color, pad=0.01)


def ticks(names, most=8):
    """Name some rows: where, and what."""
    places = np.arange(0, len(names), max(1, len(names) // most))
    return places, [str(names[place]) for place in places]


def draw_gates(axis, trace, sequence):
    """Draw every gate as a line over time."""
    for name in views.gates(trace):
        gates = getattr(trace, name)[sequence]
        for head in range(gates.shape[1]):
            label = f"{name.replace('_', ' ')} {head + 1}"
            axis.plot(gates[:, head], label=label, marker=".")
    axis.set_ylim(-0.05, 1.05)
    axis.set_title("gates", fontsize=9, loc="left")
    axis.set_ylabel("openness (0 to 1)")
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_links(axis, entries, threshold):
    """Draw the `views.link_entries` of one head around a circle."""
    import networkx as nx

    graph = nx.DiGraph()
    rows = [row for row in zip(*entries, strict=True) if row[2] > threshold]
    graph.add_nodes_from(sorted({int(slot) for row in rows for slot in row[:2]}))
    for after, before, weight in rows:
        graph.add_edge(int(before), int(after), weight=float(weight))
    scale = scale_of_links(threshold)
    nx.draw_networkx(
        graph,
        nx.circular_layout(graph),
        ax=axis,
        node_color="#dddddd",
        font_size=8,
        edge_color=[scale.to_rgba(w) for _, _, w in graph.edges.data("weight")],
        connectionstyle="arc3,rad=0.1",
    )


def scale_of_links(threshold):
    """Give the colours of links by their weight."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(threshold, 1.0), cmap="viridis_r")


def name_steps(axes, labels, mask):
    """Write the time axis under each panel, its tokens under the steps.

    Steps where `mask`, `(time,)`, is false are padding: nothing of them was applied.
    They lie behind a veil.
    """
    steps = len(mask)
    labels = views.check_labels(labels, steps)
    for axis in axes:
        axis.set_xlabel("time (steps)", fontsize=8)
        for step in np.flatnonzero(~np.asarray(mask, bool)):
            axis.axvspan(step - 0.5, step + 0.5, color="white", alpha=0.8, zorder=3)
    if labels is not None and steps <= _MOST_LABELS:
        axes[-1].set_xticks(range(steps), labels, rotation=90, fontsize=7)
