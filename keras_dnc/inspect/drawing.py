"""Building blocks of the plots: figures, heat maps, links and the time axis.

These functions need the `matplotlib` package, and `networkx` for links.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_dnc.inspect import colors
from keras_dnc.inspect import views
from keras_dnc.inspect.panels import Panel
from keras_dnc.inspect.panels import ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_MOST_LABELS = 80  # tokens that fit side by side under a plot
_MOST_UPRIGHT = 30  # short labels that fit side by side without turning
_MOST_GRID = 60  # steps up to which lines separate them
_SLIDE = (12.8, 7.2)  # inches, 16:9
_WORDS = ("class", "gate")  # kinds of rows that are all labelled
_SMALL = 8  # font size of ticks and labels


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
    size = (max(8, 3 * columns), max(3.0, height * rows))
    figure = empty_figure(size, title)
    axes = figure.subplots(rows, columns, sharex=columns == 1, squeeze=False)
    return figure, axes.ravel()


def empty_figure(size: tuple[float, float], title: str) -> Figure:
    """Create a figure without panels that needs no screen.

    Args:
        size: Width and height in inches.
        title: Title of the figure.

    Returns:
        `matplotlib.figure.Figure`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    return figure


def draw_overview(shown: Sequence[Panel], title: str) -> tuple[Figure, np.ndarray]:
    """Draw panels from top to bottom on a slide of 16:9, with their names on the left.

    Args:
        shown: Panels with the same steps.
        title: Title of the figure.

    Returns:
        `(figure, axes)`; axes is an array `(panels,)` of matplotlib axes.
    """
    figure = empty_figure(_SLIDE, title)
    heights = [_height(panel) for panel in shown]
    axes = figure.subplots(
        len(shown), 1, sharex=True, height_ratios=heights, squeeze=False
    ).ravel()
    for axis, panel in zip(axes, shown, strict=True):
        draw_panel(axis, panel)
        kind = "" if panel.kind in panel.title else f"\n({panel.kind})"
        axis.set_ylabel(f"{panel.title}{kind}", rotation=0, size=10)
        axis.yaxis.label.set(ha="right", va="center")
    figure.align_ylabels(axes)
    return figure, axes


def _height(panel: Panel) -> float:
    """Return the height of a panel as a share: more rows, and words, need more."""
    rows = len(panel.names)
    return max(2.0, 0.45 * rows) if panel.kind in _WORDS else min(rows, 20) ** 0.5 + 0.5


def draw_panel(axis: Axes, panel: Panel) -> None:
    """Draw a panel with time to the right and its colour bar next to it.

    Args:
        axis: Axes to draw on.
        panel: Content of the panel. Several heads stand side by side within a step,
            each in its colour, the first one on the left.
    """
    draw_values(axis, panel)
    are_words = panel.kind in _WORDS
    axis.set_yticks(*ticks(panel.names, len(panel.names) if are_words else 8))
    axis.tick_params(labelsize=_SMALL)
    low, high = panel.limits
    for number, scale in enumerate(panel.scales):
        bar = draw_bar(axis, scale, (low, high), number)
        if len(panel.heads) > 1:
            place: dict[str, Any] = {"x": 0.5, "y": high, "ha": "center", "va": "top"}
            bar.text(s=f"{number + 1}", color="white", fontsize=7, **place)
            bar.set_yticks([])
    bar.set_yticks([low, high], [f"{low:.3g}", f"{high:.3g}"])
    what = f"{panel.quantity} of head" if len(panel.heads) > 1 else panel.quantity
    bar.set_ylabel(what, fontsize=_SMALL)


def draw_values(axis: Axes, panel: Panel) -> None:
    """Draw the values of a panel without labels.

    Args:
        axis: Axes to draw on.
        panel: Content of the panel.
    """
    steps, rows = panel.values.shape[0], panel.values.shape[-1]
    low, high = panel.limits
    values = panel.values.T
    shades: dict[str, Any] = {"vmin": low, "vmax": high}
    if len(panel.heads) > 1:
        values = head_colors(panel)
    else:
        shades["cmap"] = colors.colormap(panel.scales[0])
    axis.imshow(
        values,
        aspect="auto",
        origin="lower",
        extent=(-0.5, steps - 0.5, -0.5, rows - 0.5),
        **shades,
    )
    if steps <= _MOST_GRID:
        edges = np.arange(1, steps) - 0.5
        axis.vlines(edges, -0.5, rows - 0.5, color=colors.GRID, linewidth=0.5)


def head_colors(panel: Panel) -> np.ndarray:
    """Return the colours of a panel with several heads.

    Args:
        panel: A panel of values `(time, heads, rows)` in [0, 1].

    Returns:
        `(rows, time * heads, 3)`, the heads of a step next to each other.
    """
    shades = [
        colors.colormap(scale)(panel.values[:, number].T)
        for number, scale in enumerate(panel.scales)
    ]
    rows = panel.values.shape[-1]
    return np.stack(shades, axis=2).reshape(rows, -1, 4)[..., :3]


def draw_memory(
    axis: Axes, words: np.ndarray, slots: np.ndarray, bound: float
) -> AxesImage:
    """Draw the words of some slots, one row each.

    Args:
        axis: Axes to draw on.
        words: `(slots, features)`.
        slots: `(slots,)`, indices of the slots.
        bound: Colours go from `-bound` to `bound`.

    Returns:
        The image, `matplotlib.image.AxesImage`.
    """
    image = axis.imshow(
        words,
        aspect="auto",
        origin="lower",
        cmap=colors.colormap(colors.DIVERGING),
        vmin=-bound,
        vmax=bound,
    )
    axis.set_yticks(*ticks(slots))
    axis.tick_params(labelsize=_SMALL)
    axis.set_xlabel("feature", fontsize=9)
    axis.set_ylabel("slot", fontsize=9)
    return image


def draw_bar(
    axis: Axes,
    scale: Sequence[str],
    limits: tuple[float, float],
    number: int = 0,
    width: float = 0.01,
) -> Axes:
    """Draw a narrow colour bar on the right side of a panel.

    Args:
        axis: Axes of the panel.
        scale: Colours from the least to the largest value.
        limits: The least and the largest value.
        number: Number of colour bars that the panel has already. Defaults to 0.
        width: Width of the bar as a share of the panel's. Defaults to 0.01.

    Returns:
        Axes of the colour bar.
    """
    place = (1.0 + width * (1.0 + 1.4 * number), 0.0, width, 1.0)
    bar = axis.inset_axes(place, label="<colorbar>")
    shades = np.linspace(*limits, 256)[:, None]
    edges = (0.0, 1.0, *limits)
    cmap = colors.colormap(tuple(scale))
    bar.imshow(shades, aspect="auto", origin="lower", extent=edges, cmap=cmap)
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.yaxis.set_label_position("right")
    bar.tick_params(labelsize=_SMALL, length=2)
    return bar


def draw_shares(axis: Axes, shares: np.ndarray, names: Sequence[str]) -> None:
    """Draw shares of 1 over time as bars on top of each other.

    Args:
        axis: Axes to draw on.
        shares: `(time, names)`, rows sum to 1.
        names: Names for the legend.
    """
    steps, below = np.arange(len(shares)), np.zeros(len(shares))
    for number, name in enumerate(names):
        color = colors.MODES[number % len(colors.MODES)]
        axis.bar(steps, shares[:, number], 1.0, below, label=name, color=color)
        below = below + shares[:, number]
    axis.set(xlim=(-0.5, len(shares) - 0.5), ylim=(0.0, 1.0))


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

    return ScalarMappable(
        Normalize(threshold, 1.0), cmap=colors.colormap(colors.SEQUENTIAL[2:])
    )


def name_steps(
    axes: Sequence[Axes] | np.ndarray, labels: Iterable[Any] | None, mask: np.ndarray
) -> None:
    """Label the time axis once, below all panels, and shade padding in each.

    Args:
        axes: Axes of all panels, from top to bottom.
        labels: Tokens, one for each step, or `None` for the numbers of the steps. More
            than 80 tokens are not shown.
        mask: `(time,)`, false at padding: the cell skipped these steps, and they are
            drawn pale.

    Raises:
        ValueError: If the number of labels is not the number of steps.
    """
    steps = len(mask)
    names = views.check_labels(labels, steps)
    for axis in axes:
        for step in np.flatnonzero(~np.asarray(mask, bool)):
            axis.axvspan(step - 0.5, step + 0.5, color="white", alpha=0.8, zorder=3)
    last = axes[-1]
    number_steps(last)
    if names is not None and steps <= _MOST_LABELS:
        longest = max(map(len, names))
        is_upright = steps <= _MOST_UPRIGHT and longest * steps <= 3 * _MOST_UPRIGHT
        last.set_xticks(
            range(steps), names, rotation=0 if is_upright else 90, fontsize=_SMALL
        )


def number_steps(axis: Axes) -> None:
    """Label the time axis with the numbers of some steps.

    Args:
        axis: Axes of the lowest panel.
    """
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("step", fontsize=10)
