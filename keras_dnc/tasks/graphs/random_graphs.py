"""Random graphs on which the tasks are trained (Graves et al. 2016, Methods)."""

from collections.abc import Hashable, Sequence

import networkx
import numpy as np

from keras_dnc.arguments import check_at_most
from keras_dnc.arguments import positive_integer


def random_graph(
    num_nodes: int,
    min_degree: int,
    max_degree: int,
    rng: np.random.Generator,
    labels: Sequence[Hashable] = range(1000),
) -> networkx.DiGraph:
    """Draw points in the unit square, each with edges to its nearest neighbours.

    The number of edges from a node is drawn from `min_degree` to `max_degree`. Their
    labels are drawn from `labels`, without repetition at a node.

    Args:
        num_nodes: Number of nodes, at least 2.
        min_degree: Least number of edges from a node.
        max_degree: Greatest number of edges from a node; a node has no more edges than
            there are other nodes.
        rng: `numpy.random.Generator`; the same state gives the same graph.
        labels: Labels of edges, at least `max_degree`. Defaults to the numbers from 0
            to 999.

    Returns:
        `networkx.DiGraph` of nodes 0, 1, ... with the attribute `position`, a tuple of
        two numbers in [0, 1], and of edges with the attribute `label`.

    Raises:
        ValueError: An argument is not a positive integer, `num_nodes` is below 2,
            `min_degree` is above `max_degree`, or there are fewer labels than
            `max_degree`.

    Example:
        >>> graph = random_graph(5, 2, 3, np.random.default_rng(0))
        >>> len(graph), {degree for _, degree in graph.out_degree()} <= {2, 3}
        (5, True)
    """
    positive_integer("min_degree", min_degree)
    positive_integer("max_degree", max_degree)
    check_at_most("min_degree", min_degree, "max_degree", max_degree)
    if positive_integer("num_nodes", num_nodes) < 2:
        raise ValueError(
            f"Argument `num_nodes` must be at least 2. Received: num_nodes={num_nodes}"
        )
    if len(labels) < max_degree:
        raise ValueError(
            "Argument `labels` must have at least `max_degree` labels. "
            f"Received: max_degree={max_degree}, labels={labels}"
        )
    positions = rng.random((num_nodes, 2))
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    nearest = np.argsort(distances, axis=1)[:, 1:]  # the first is the node itself
    graph = networkx.DiGraph()
    for node, position in enumerate(positions):
        graph.add_node(node, position=tuple(position.tolist()))
    for node in range(num_nodes):
        degree = int(rng.integers(min_degree, max_degree + 1))
        neighbours = nearest[node, :degree].tolist()
        drawn = rng.choice(len(labels), len(neighbours), replace=False).tolist()
        for neighbour, index in zip(neighbours, drawn, strict=True):
            graph.add_edge(node, neighbour, label=labels[index])
    return graph
