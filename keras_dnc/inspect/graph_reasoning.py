"""How a network answers a question about a graph: the route, and the edges it reads.

These functions need the `matplotlib` and `networkx` packages:
`pip install keras_dnc[plot,graphs]`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import networkx
import numpy as np

from keras_dnc.inspect import views
from keras_dnc.inspect.trace import Trace

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Edge: TypeAlias = tuple[Hashable, Hashable]

# Distinguishable if colour-blind.
_RIGHT, _ANSWERED, _READ = "#4477aa", "#ee6677", "#ddaa33"
_EDGE, _NODE = "#cccccc", "#999999"
_WIDTH, _CHARACTER = 13.0, 0.064  # inches, of a figure and of a character in the table
_LEAST_READ = 0.1  # fraction of a read word below which an edge counts as not read


def plot_graph_reasoning(
    trace: Trace,
    asked: Any,
    graph: networkx.DiGraph,
    sequence: int = 0,
    title: str = "Reasoning over a graph",
) -> Figure:
    """Draw the right answer, that of a network, and the edges that each head reads.

    The upper panel shows the graph, both answers, and the edges that are read from the
    question on, the more opaque the further a head reads them. The lower panel is a
    table with a row for each of these steps: the edge of the description that each read
    head reads most, and how far it reads it, from 0 to 1.

    Args:
        trace: Record of the memory cell, from `keras_dnc.inspect.trace.trace`. The
            outputs of the cell have to be the answer.
        asked: `keras_dnc.tasks.graphs.Asked`, the question.
        graph: The graph of the question. Nodes are drawn at their attribute `position`,
            `(x, y)`; if one has none, `networkx.spring_layout` places them.
        sequence: Index of the sequence in the batch. Defaults to 0.
        title: Title of the figure. Defaults to `"Reasoning over a graph"`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: If the batch has no sequence of this index, the sequence is shorter
            than the episode of `asked`, or `graph` lacks nodes of its edges.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> from keras_dnc.tasks.graphs import TraversalTask
        >>> graph = networkx.DiGraph()
        >>> graph.add_edge("Bank", "Holborn", label="west")
        >>> asked = TraversalTask().ask(graph, ("Bank", ["west"]))
        >>> cell = keras_dnc.DNCCell(90, controller=8, memory_size=16, word_size=4)
        >>> cell.build((None, 92))
        >>> recorded = trace(cell, asked.episode.inputs[None])
        >>> figure = plot_graph_reasoning(recorded, asked, graph)
        >>> [axis.get_title(loc="left") for axis in figure.axes[:2]]
        ['0 of 1 steps answered rightly', 'edge that each head reads most']

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, figure 3.
    """
    _check_graph(graph, asked)
    answered = _answered(trace, asked, sequence)
    rows = len(_step_names(asked))
    figure, (upper, lower) = _new_figure([7.0, 0.5 + 0.25 * rows], title)
    reads, positions = _edges_read(trace, asked, sequence), _positions(graph)
    _draw_graph(upper, graph, positions)
    _draw_weights(upper, positions, asked.edges, reads.max(axis=(0, 1)))
    _draw_routes(upper, positions, asked, answered)
    _draw_reads(lower, reads, asked, answered)
    return figure


def animate_graph_reasoning(
    trace: Trace,
    asked: Any,
    graph: networkx.DiGraph,
    sequence: int = 0,
    seconds: float = 0.8,
) -> FuncAnimation:
    """Animate which edges the heads read, one frame for each step from the question on.

    Args:
        trace: Record of the memory cell, from `keras_dnc.inspect.trace.trace`.
        asked: `keras_dnc.tasks.graphs.Asked`, the question.
        graph: The graph of the question, drawn as in `plot_graph_reasoning`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        seconds: Duration of a frame. Defaults to 0.8.

    Returns:
        `matplotlib.animation.FuncAnimation`; `.save("reasoning.gif",
        writer="pillow")` writes it.

    Raises:
        ValueError: If the batch has no sequence of this index, the sequence is shorter
            than the episode of `asked`, or `graph` lacks nodes of its edges.
    """
    from matplotlib.animation import FuncAnimation

    _check_graph(graph, asked)
    figure, (axis,) = _new_figure([7.0], "")
    positions = _positions(graph)
    answered = _answered(trace, asked, sequence)
    reads = _edges_read(trace, asked, sequence).max(axis=1)

    def draw(frame: int) -> list[Any]:
        axis.clear()
        _draw_graph(axis, graph, positions)
        _draw_weights(axis, positions, asked.edges, reads[frame])
        axis.set_title(_caption(asked, answered, frame), fontsize=11, loc="left")
        return []

    draw(0)
    return FuncAnimation(figure, draw, frames=len(reads), interval=1000 * seconds)


def _check_graph(graph: networkx.DiGraph, asked: Any) -> None:
    """Refuse a graph that lacks nodes of the edges that were read."""
    nodes = dict.fromkeys(end for a, _, b in asked.edges for end in (a, b))
    missing = [node for node in nodes if node not in graph]
    if missing:
        raise ValueError(
            "Argument `graph` must be the graph that `asked` is about. "
            f"Received: a graph without the nodes {missing[:5]}"
        )


def _new_figure(heights: list[float], title: str) -> tuple[Figure, list[Axes]]:
    """Create a figure that needs no screen, with panels of these heights in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)
    return figure, list(axes.flat)


def _answered(trace: Trace, asked: Any, sequence: int) -> list[Any]:
    """Return the triples that the network answers."""
    trace.check(sequence, ["output"])
    steps = len(asked.episode.mask)
    if trace.output.shape[1] < steps:
        raise ValueError(
            f"Argument `trace` must have the {steps} steps of `asked`. "
            f"Received: a trace of {trace.output.shape[1]} steps"
        )
    return asked.decode(trace.output[sequence, :steps])


def _edges_read(trace: Trace, asked: Any, sequence: int) -> np.ndarray:
    """Return how far each edge is read: `(steps from the question, heads, edges)`."""
    edges, steps = len(asked.edges), len(asked.episode.mask)
    return views.steps_read(trace, sequence)[edges:steps, :, :edges]


def _positions(graph: networkx.DiGraph) -> dict[Hashable, Any]:
    """Return the positions of nodes in the plot."""
    positions = networkx.get_node_attributes(graph, "position")
    if len(positions) == len(graph):
        return positions
    return networkx.spring_layout(graph, seed=0)


def _draw_graph(axis: Axes, graph: networkx.DiGraph, positions: Any) -> None:
    """Draw nodes, their labels, and pale edges."""
    shared: dict[str, Any] = {"ax": axis, "pos": positions}
    networkx.draw_networkx_nodes(graph, node_size=20, node_color=_NODE, **shared)
    _draw_edges(axis, positions, graph.edges(), [1.0] * len(graph.edges), _EDGE, 1.0)
    size = 8 if len(graph) <= 30 else 6
    networkx.draw_networkx_labels(
        graph, font_size=size, verticalalignment="bottom", **shared
    )
    axis.set_axis_off()


def _draw_edges(
    axis: Axes,
    positions: Any,
    edges: Iterable[_Edge],
    opacities: Iterable[float],
    color: str,
    width: float,
    style: str = "solid",
) -> None:
    """Draw edges in one colour, each with its opacity."""
    drawn = networkx.DiGraph()
    for (a, b), opacity in zip(edges, opacities, strict=True):
        before = drawn.get_edge_data(a, b, {"opacity": 0.0})["opacity"]
        drawn.add_edge(a, b, opacity=max(opacity, before))
    networkx.draw_networkx_edges(
        drawn,
        positions,
        ax=axis,
        edge_color=color,
        alpha=[opacity for _, _, opacity in drawn.edges(data="opacity")],
        width=width,
        arrowsize=8,
        node_size=20,
        style=style,
        connectionstyle="arc3,rad=0.06",
    )


def _draw_routes(
    axis: Axes, positions: Any, asked: Any, answered: Sequence[Any]
) -> None:
    """Draw the right answer, and upon it that of the network where it has nodes.

    An answer need not be an edge: that of an inference leads to the end of a relation.
    """
    for triples, color, width, style in (
        (asked.answer, _RIGHT, 5.0, "solid"),
        (answered, _ANSWERED, 2.0, "dotted"),
    ):
        ends = [(a, b) for a, _, b in triples if a in positions and b in positions]
        _draw_edges(axis, positions, ends, [1.0] * len(ends), color, width, style)
    right = sum(a == b for a, b in zip(asked.answer, answered, strict=True))
    title = f"{right} of {len(answered)} steps answered rightly"
    axis.set_title(title, fontsize=10, loc="left")
    for label, color in (
        ("right answer", _RIGHT),
        ("answer of the network", _ANSWERED),
        ("edges read", _READ),
    ):
        axis.plot([], [], color=color, label=label)
    axis.legend(loc="best", fontsize=8)


def _draw_reads(
    axis: Axes, reads: np.ndarray, asked: Any, answered: Sequence[Any]
) -> None:
    """Draw a table of the edge that each head reads most at each step."""
    steps, heads, _ = reads.shape
    shades = np.c_[np.zeros(steps), reads.max(axis=2)]
    axis.imshow(shades, aspect="auto", cmap="Blues", vmin=0.0, vmax=1.5)
    fits = int(_WIDTH / (heads + 1) / _CHARACTER)
    for step in range(steps):
        texts = [_caption(asked, answered, step)]
        for edge, weights in zip(reads[step].argmax(axis=1), reads[step], strict=True):
            is_read = weights[edge] > _LEAST_READ
            text = f"{weights[edge]:.1f}  {_text(asked.edges[edge])}"
            texts.append(text if is_read else "")
        for column, text in enumerate(texts):
            shown = text if len(text) <= fits else text[: fits - 1] + "…"
            axis.text(column - 0.48, step, shown, va="center", fontsize=7)
    axis.set_xticks(
        range(heads + 1), ["step", *(f"head {head + 1}" for head in range(heads))]
    )
    axis.xaxis.tick_top()
    axis.set_yticks([])
    axis.set_title("edge that each head reads most", fontsize=10, loc="left")


def _draw_weights(
    axis: Axes, positions: Any, edges: Sequence[Any], weights: np.ndarray
) -> None:
    """Draw edges with the weight that is given to each as opacity."""
    read = [
        edge
        for edge, weight in zip(edges, weights, strict=True)
        if weight > _LEAST_READ
    ]
    opacities = [float(weight) for weight in weights if weight > _LEAST_READ]
    ends = [(a, b) for a, _, b in read]
    _draw_edges(axis, positions, ends, np.minimum(opacities, 1.0), _READ, 9.0)


def _step_names(asked: Any) -> list[str]:
    """Return names of the steps from the question on."""
    questions, answers = len(asked.question), len(asked.answer)
    planning = len(asked.episode.mask) - len(asked.edges) - questions - answers
    names = [f"question: {_text(triple)}" for triple in asked.question]
    names += [f"plan {step + 1}" for step in range(planning)]
    return names + [f"answer {step + 1}" for step in range(answers)]


def _caption(asked: Any, answered: Sequence[Any], frame: int) -> str:
    """Return what happens at a step from the question on."""
    names = _step_names(asked)
    first = len(names) - len(answered)
    if frame < first:
        return names[frame]
    return f"{names[frame]}: {_text(answered[frame - first])}"


def _text(triple: Any) -> str:
    """Write a triple on one line, `?` where a label is left out."""
    source, edge, target = ("?" if part is None else str(part) for part in triple)
    return f"{source} → {target} ({edge})"
