"""Building blocks of the plots: figures, heat maps, gates, links and the time axis.

These functions need the `matplotlib` package, and `networkx` for links.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_dnc.inspect import views
from keras_dnc.inspect.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

_MOST_LABELS = 60  # tokens that fit side by side under a plot


class Heatmap(NamedTuple):
    """Content and labels of one heat map.

    Attributes:
        title: Title above the heat map.
        rows: Label of the vertical axis: the kind of the rows.
        color: Label of the colour bar: the quantity that colours encode.
        values: `(time, rows)`.
        names: Names of the rows, or `None` for their indices. Defaults to `None`.
    """

    title: str
    rows: str
    color: str
    values: np.ndarray
    names: Sequence[Any] | np.ndarray | None = None


def new_figure(
    rows: int, title: str, columns: int = 1, height: float = 1.8
) -> tuple[Figure, np.ndarray]:
    """Create a figure that needs no screen.

    Args:
        rows: Number of panels from top to bottom.
        title: Title of the figure.
        columns: Number of panels from left to right. Defaults to 1.
        height: Height of a panel in inches; a figure has at least 3. Defaults to 1.8.

    Returns:
        `(figure, axes)`; axes is an array `(rows * columns,)` of matplotlib axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = (max(8, 3 * columns), max(3.0, height * rows))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, sharex=columns == 1, squeeze=False)
    return figure, axes.ravel()


def draw_heatmap(figure: Figure, axis: Axes, panel: Heatmap) -> None:
    """Draw a heat map with time to the right and a colour bar.

    Args:
        figure: Figure of the axes.
        axis: Axes to draw on.
        panel: Content of the heat map. Colours cover at least the range [0, 1].
    """
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
    places = np.arange(0, len(names), max(1, len(names) // most))
    return places, [str(names[place]) for place in places.tolist()]


def draw_gates(axis: Axes, trace: Trace, sequence: int) -> None:
    """Draw every gate of every head as a line over time.

    Args:
        axis: Axes to draw on.
        trace: `keras_dnc.inspect.trace.Trace`.
        sequence: Index of the sequence in the batch.
    """
    for name in views.gates(trace):
        gates = getattr(trace, name)[sequence]
        for head in range(gates.shape[1]):
            label = f"{name.replace('_', ' ')} {head + 1}"
            axis.plot(gates[:, head], label=label, marker=".")
    axis.set_ylim(-0.05, 1.05)
    axis.set_title("gates", fontsize=9, loc="left")
    axis.set_ylabel("openness (0 to 1)")
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_links(
    axis: Axes,
    entries: tuple[np.ndarray, np.ndarray, np.ndarray],
    threshold: float,
) -> None:
    """Draw the links of one write head as arrows between slots on a circle.

    Args:
        axis: Axes to draw on.
        entries: `(after, before, weights)`, three arrays `(links,)`: `weights` is the
            degree to which slot `after` was written right after slot `before`.
        threshold: Links of at most this weight are omitted.
    """
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


def scale_of_links(threshold: float) -> ScalarMappable:
    """Return the colour scale of links, from `threshold` to a weight of 1."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(threshold, 1.0), cmap="viridis_r")


def name_steps(
    axes: Sequence[Axes] | np.ndarray, labels: Iterable[Any] | None, mask: np.ndarray
) -> None:
    """Label the time axis of each panel, shade padding, and write tokens at the bottom.

    Args:
        axes: Axes of all panels, from top to bottom.
        labels: Tokens, one for each step, or `None`. More than 60 are not shown.
        mask: `(time,)`, false at padding: the cell skipped these steps, and they are
            drawn pale.

    Raises:
        ValueError: If the number of labels is not the number of steps.
    """
    steps = len(mask)
    names = views.check_labels(labels, steps)
    for axis in axes:
        axis.set_xlabel("time (steps)", fontsize=8)
        for step in np.flatnonzero(~np.asarray(mask, bool)):
            axis.axvspan(step - 0.5, step + 0.5, color="white", alpha=0.8, zorder=3)
    if names is not None and steps <= _MOST_LABELS:
        axes[-1].set_xticks(range(steps), names, rotation=90, fontsize=7)
