"""Shortest paths: find a route, with the network's own choices as inputs."""

from collections.abc import Callable, Hashable, Sequence

import networkx
import numpy as np
import numpy.typing as npt

from keras_dnc.arguments import probability
from keras_dnc.tasks.graphs.task import GraphTask
from keras_dnc.tasks.graphs.task import check_node
from keras_dnc.tasks.graphs.triples import TRIPLE_SIZE
from keras_dnc.tasks.graphs.triples import Triple
from keras_dnc.tasks.graphs.triples import numbers_of
from keras_dnc.tasks.graphs.triples import triples_of
from keras_dnc.tasks.graphs.triples import vectors_of
from keras_dnc.tasks.task import EpisodeBatch


class ShortestPathTask(GraphTask):
    """Find a shortest path between two nodes, and answer with its edges.

    A question is `(source, goal)`. The network reads `(source, _, goal)`, has
    `planning_steps` steps to plan, and then answers with one edge at each step. At each
    step of the answer but the first it reads the edge before: that of a shortest path
    in the episodes of `sample`, or its own choice in those of `follow`.

    Any edge that leads from the current node to one nearer to the goal is right.

    Args:
        min_nodes: Least number of nodes of a random graph, at least 2. Defaults to 3.
        max_nodes: Greatest number of nodes, at most 1,000. Defaults to 10.
        min_degree: Least number of edges from a node. Defaults to 2.
        max_degree: Greatest number of edges from a node. Defaults to 4.
        min_path: Least number of edges of a path. Defaults to 1.
        max_path: Greatest number of edges of a path. Defaults to 4.
        planning_steps: Number of steps between question and answer. Defaults to 10.

    Raises:
        ValueError: A number is not a positive integer, `planning_steps` is below 0, a
            least number is above the greatest one, or there are fewer than 2 or more
            than 1,000 nodes.

    Example:
        >>> graph = networkx.DiGraph()
        >>> graph.add_edge("Bank", "Holborn", label="Central, west")
        >>> graph.add_edge("Holborn", "Green Park", label="Piccadilly, west")
        >>> graph.add_edge("Holborn", "Bank", label="Central, east")
        >>> asked = ShortestPathTask().ask(graph, ("Bank", "Green Park"))
        >>> asked.question
        [Triple(source='Bank', edge=None, target='Green Park')]
        >>> [triple.target for triple in asked.answer]
        ['Holborn', 'Green Park']

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, Methods, "Shortest path task".
    """

    # Where every node has one edge, a network learns to walk before it has to choose.
    LESSONS = (
        *((2, 2, 1, 1, 1, 1), (3, 3, 1, 1, 1, 1), (3, 3, 2, 2, 1, 1)),
        *((3, 4, 1, 1, 1, 2), (3, 5, 1, 1, 1, 3), (3, 5, 1, 2, 1, 2)),
        *((4, 6, 1, 2, 1, 3), (4, 8, 2, 2, 1, 3), (4, 8, 2, 3, 1, 3)),
        *((5, 10, 2, 3, 1, 4), (5, 10, 2, 4, 1, 4), (10, 15, 2, 4, 1, 4)),
        *((10, 20, 2, 5, 1, 4), (20, 40, 2, 6, 1, 4)),
    )

    def __init__(
        self,
        min_nodes: int = 3,
        max_nodes: int = 10,
        min_degree: int = 2,
        max_degree: int = 4,
        min_path: int = 1,
        max_path: int = 4,
        planning_steps: int = 10,
    ) -> None:
        self._check_range("min_path", min_path, "max_path", max_path)
        self.min_path, self.max_path = min_path, max_path
        sizes = (min_nodes, max_nodes, min_degree, max_degree)
        super().__init__(*sizes, 1, max_path, planning_steps)

    def draw_question(
        self, graph: networkx.DiGraph, rng: np.random.Generator
    ) -> tuple[Hashable, Hashable] | None:
        """Draw the length of a path, and two nodes that are so far apart."""
        length = int(rng.integers(self.min_path, self.max_path + 1))
        distances = networkx.all_pairs_shortest_path_length(graph, length)
        pairs = [
            (source, goal)
            for source, goals in distances
            for goal, distance in goals.items()
            if distance == length
        ]
        return pairs[rng.integers(len(pairs))] if pairs else None

    def question_and_answer(
        self, graph: networkx.DiGraph, question: tuple[Hashable, Hashable]
    ) -> tuple[list[Triple], list[Triple]]:
        """Return the question as one triple, and the edges of a shortest path."""
        source, goal = question
        check_node(graph, source)
        check_node(graph, goal)
        nearer = edges_nearer_to(triples_of(graph), goal)
        if source not in nearer:
            raise ValueError(
                "Argument `question` must ask for a path of at least one edge. "
                f"Received: question={question!r}, between which there is none"
            )
        answer = [nearer[source][0]]
        while answer[-1].target != goal:
            answer.append(nearer[answer[-1].target][0])
        return [Triple(source, None, goal)], answer

    def _shown(self, answer: list[Triple]) -> list[Triple]:
        """Return the edges before those that are answered."""
        return [Triple(None, None, None), *answer[:-1]]

    def follow(
        self,
        predict: Callable[[np.ndarray], npt.ArrayLike],
        batch: EpisodeBatch,
        own: float = 1.0,
        rng: np.random.Generator | int = 0,
    ) -> EpisodeBatch:
        """Let a network go its own way, and return what it should have answered.

        At each step of the answer the network's choice is taken, if there is such an
        edge from the current node, and else an edge of a shortest path from there. The
        targets are the network's choices where these are right.

        Training on such batches is DAgger (Ross et al. 2011): the network learns what
        to do where its own choices lead.

        Args:
            predict: Function from inputs, `(batch, time, 92)`, to logits, `(batch,
                time, 90)`, such as `model.predict_on_batch`. It is called once for
                each step of the longest answer.
            batch: `EpisodeBatch` of this task.
            own: Probability that a step takes the network's choice. In [0, 1].
                Defaults to 1.
            rng: `numpy.random.Generator`, or a seed, of these draws. Defaults to 0.

        Returns:
            `EpisodeBatch` with other inputs and targets at the steps of the answer.

        Raises:
            ValueError: `own` is outside [0, 1].
        """
        probability("own", own, includes_one=True)
        rng = np.random.default_rng(rng)
        inputs, targets = batch.inputs.copy(), batch.targets.copy()
        episodes = zip(inputs, targets, batch.mask, strict=True)
        walks = [_Walk(*episode) for episode in episodes]
        for step in range(max(len(walk.steps) for walk in walks)):
            chosen = numbers_of(predict(inputs))
            takes_own = rng.random(len(walks)) < own
            for walk, numbers, is_own in zip(walks, chosen, takes_own, strict=True):
                if step < len(walk.steps):
                    edge = Triple(*numbers[walk.steps[step]].tolist())
                    walk.take(step, edge, is_own)
        return EpisodeBatch(inputs, targets, batch.mask)

    def errors(self, batch: EpisodeBatch, outputs: npt.ArrayLike) -> np.ndarray:
        """Count the answered edges that do not lead nearer to the goal.

        Args:
            batch: `EpisodeBatch`, of `sample` or of `follow`.
            outputs: Logits, `(batch, max_time, 90)`. NaN is wrong.

        Returns:
            `(batch,)`, integers of at least 0.
        """
        outputs = np.asarray(outputs)
        chosen = numbers_of(outputs)
        chosen[~np.isfinite(outputs).all(axis=-1)] = -1
        counts = []
        for numbers, *episode in zip(chosen, *batch, strict=True):
            walk = _Walk(*episode)
            edges = [Triple(*row) for row in numbers[walk.steps].tolist()]
            right = [edge in walk.right_edges(step) for step, edge in enumerate(edges)]
            counts.append(right.count(False))
        return np.array(counts)


class _Walk:
    """The answer of an episode, in a graph that is read from its inputs.

    Nodes and labels are the numbers that represent them in the episode.

    Attributes:
        steps: Indices of the steps of the answer.
    """

    def __init__(
        self, inputs: np.ndarray, targets: np.ndarray, mask: np.ndarray
    ) -> None:
        self._inputs, self._targets = inputs[:, :TRIPLE_SIZE], targets
        self.steps = np.flatnonzero(mask)
        question = int(np.argmax(inputs[:, TRIPLE_SIZE]))
        edges = [Triple(*row) for row in numbers_of(self._inputs[:question]).tolist()]
        self._edges = set(edges)
        self._source, _, goal = numbers_of(self._inputs[question]).tolist()
        self._nearer = edges_nearer_to(edges, goal)

    def right_edges(self, step: int) -> list[Triple]:
        """Return the edges that are right at a step of the answer."""
        node = self._source
        if step > 0:
            node = int(numbers_of(self._inputs[self.steps[step]])[2])
        return self._nearer[node]

    def take(self, step: int, own: Triple, takes_own: bool) -> None:
        """Set the target of a step, and the edge that the next step reads."""
        right = self.right_edges(step)
        at = self.steps[step]
        planned = Triple(*numbers_of(self._targets[at]).tolist())
        target = next(edge for edge in (own, planned, *right) if edge in right)
        self._targets[at] = vectors_of(np.array(target))
        if step + 1 < len(self.steps):
            is_edge = own in self._edges and own.source == target.source
            leads_on = is_edge and own.target in self._nearer
            taken = own if takes_own and leads_on else target
            self._inputs[self.steps[step + 1]] = vectors_of(np.array(taken))


def edges_nearer_to(
    edges: Sequence[Triple], goal: Hashable
) -> dict[Hashable, list[Triple]]:
    """Return the first edges of all shortest paths to a node.

    Args:
        edges: All edges of a graph.
        goal: A node.

    Returns:
        Dict from each node from which `goal` is reached, other than `goal`, to the
        edges that lead one step nearer.
    """
    backward = networkx.DiGraph()
    backward.add_node(goal)
    backward.add_edges_from((edge.target, edge.source) for edge in edges)
    distances = networkx.single_source_shortest_path_length(backward, goal)
    nearer: dict[Hashable, list[Triple]] = {}
    for edge in edges:
        if edge.target not in distances:
            continue
        if distances[edge.source] == distances[edge.target] + 1:
            nearer.setdefault(edge.source, []).append(edge)
    return nearer
