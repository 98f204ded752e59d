"""Traversal: follow a path of labelled edges through a graph."""

from collections.abc import Hashable, Sequence

import networkx
import numpy as np

from keras_dnc.tasks.graphs.task import GraphTask
from keras_dnc.tasks.graphs.task import edge_with
from keras_dnc.tasks.graphs.triples import Triple


class TraversalTask(GraphTask):
    """Follow edges from a node, and answer with each edge as a whole triple.

    A question is `(source, labels)`: the node at which the path starts, and the labels
    of its edges. The network reads `(source, first label, _)`, `(_, second label, _)`
    and so on, and answers with the triples of the path.

    Args:
        min_nodes: Least number of nodes of a random graph, at least 2. Defaults to 3.
        max_nodes: Greatest number of nodes, at most 1,000. Defaults to 10.
        min_degree: Least number of edges from a node. Defaults to 2.
        max_degree: Greatest number of edges from a node. Defaults to 4.
        min_path: Least number of edges of a path. Defaults to 1.
        max_path: Greatest number of edges of a path. Defaults to 5.

    Raises:
        ValueError: A number is not a positive integer, a least number is above the
            greatest one, or there are fewer than 2 or more than 1,000 nodes.

    Example:
        >>> import networkx
        >>> graph = networkx.DiGraph()
        >>> graph.add_edge("Oxford Circus", "Bond Street", label="Central, west")
        >>> graph.add_edge("Bond Street", "Green Park", label="Jubilee, south")
        >>> task = TraversalTask()
        >>> path = ["Central, west", "Jubilee, south"]
        >>> asked = task.ask(graph, ("Oxford Circus", path))
        >>> asked.question[1]
        Triple(source=None, edge='Jubilee, south', target=None)
        >>> asked.answer[1].target
        'Green Park'
        >>> asked.episode.inputs.shape, asked.episode.targets.shape
        ((6, 92), (6, 90))

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, Methods, "Traversal task".
    """

    LESSONS = (
        *((2, 2, 1, 1, 1, 1), (3, 3, 1, 1, 1, 1), (3, 3, 2, 2, 1, 1)),
        *((3, 4, 2, 2, 1, 1), (3, 4, 2, 2, 1, 2), (3, 4, 2, 2, 1, 3)),
        *((3, 5, 2, 3, 1, 4), (3, 6, 2, 3, 1, 5), (3, 10, 2, 4, 1, 5)),
        *((5, 10, 2, 4, 1, 6), (10, 15, 2, 4, 1, 6), (10, 20, 2, 4, 1, 6)),
        *((10, 20, 2, 4, 1, 7), (10, 30, 2, 4, 1, 7), (10, 40, 2, 6, 1, 8)),
    )

    def __init__(
        self,
        min_nodes: int = 3,
        max_nodes: int = 10,
        min_degree: int = 2,
        max_degree: int = 4,
        min_path: int = 1,
        max_path: int = 5,
    ) -> None:
        self._check_range("min_path", min_path, "max_path", max_path)
        self.min_path, self.max_path = min_path, max_path
        sizes = (min_nodes, max_nodes, min_degree, max_degree)
        super().__init__(*sizes, max_question=max_path, max_answer=max_path)

    def draw_question(
        self, graph: networkx.DiGraph, rng: np.random.Generator
    ) -> tuple[Hashable, list[Hashable]] | None:
        """Draw a random walk, and ask where its edges lead."""
        node = start = list(graph)[rng.integers(len(graph))]
        labels = []
        for _ in range(rng.integers(self.min_path, self.max_path + 1)):
            edges = list(graph.out_edges(node, data="label"))
            if not edges:
                return None
            _, node, label = edges[rng.integers(len(edges))]
            labels.append(label)
        return start, labels

    def question_and_answer(
        self, graph: networkx.DiGraph, question: tuple[Hashable, Sequence[Hashable]]
    ) -> tuple[list[Triple], list[Triple]]:
        """Return the edges to follow, and the triples of the path."""
        node, labels = question
        if not labels:
            raise ValueError(
                "Argument `question` must name at least one edge. "
                f"Received: question={question!r}"
            )
        asked, answer = [], []
        for number, label in enumerate(labels):
            asked.append(Triple(None if number else node, label, None))
            answer.append(edge_with(graph, node, label))
            node = answer[-1].target
        return asked, answer
