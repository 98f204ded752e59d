"""Inference: answer with relations that are composed of several edges."""

import copy
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeAlias

import networkx
import numpy as np

from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import positive_integer_or_none
from keras_dnc.arguments import probability
from keras_dnc.tasks.graphs.task import GraphTask
from keras_dnc.tasks.graphs.task import check_node
from keras_dnc.tasks.graphs.task import edge_with
from keras_dnc.tasks.graphs.triples import NUMBERS
from keras_dnc.tasks.graphs.triples import Labels
from keras_dnc.tasks.graphs.triples import Triple
from keras_dnc.tasks.task import EpisodeBatch
from keras_dnc.tasks.task import check_positive_integers
from keras_dnc.tasks.task import padded_batch

Relations: TypeAlias = Mapping[Hashable, Sequence[Hashable]]

_SEED = 2016  # of the numbers of edges and relations, which are equal in all episodes


class InferenceTask(GraphTask):
    """Find the node that a relation leads to, such as "maternal great uncle".

    A relation is a sequence of edge labels, such as `("mother", "mother", "son1")`;
    each edge label is a relation of one edge, too. A question is `(node, relation)`.
    The network reads `(node, relation, _)`, has `planning_steps` steps to plan, and
    answers with the whole triple. It is never told how a relation is composed, but has
    to learn that from the questions. So edge labels and relations have the same numbers
    in all episodes; nodes have new ones.

    Args:
        relations: Dict from relations to the labels of their edges, such as
            `family_relations()`.
        min_nodes: Least number of nodes of a random graph, at least 2. Defaults to 3.
        max_nodes: Greatest number of nodes, at most 1,000. Defaults to 10.
        min_degree: Least number of edges from a node. Defaults to 2.
        max_degree: Greatest number of edges from a node, at most the number of labels.
            Defaults to 4.
        min_path: Least number of edges of a relation that is asked. Defaults to 1.
        max_path: Greatest number of edges of a relation that is asked. Defaults to 4.
        planning_steps: Number of steps between question and answer. Defaults to 10.
        max_labels: Greatest number of edge labels in random graphs, at least
            `max_degree`. The first ones in `relations` are used, and only relations of
            these are asked. Defaults to `None`, for all labels.
        least_share: Relations are asked in proportion to their errors, once these are
            set; a relation without errors has this share of the questions of a relation
            that is always answered wrongly. In (0, 1]. Defaults to 1, for equal shares.

    Attributes:
        relation_errors: Dict from relations to the errors that `set_relation_errors`
            was called with, each in [0, 1]. A relation that it lacks counts as always
            answered wrongly.

    Raises:
        ValueError: `relations` is empty, has no relation of `min_path` to `max_path`
            edges and the first `max_labels` labels, or has more than 1,000 relations
            and labels; a relation of several edges has the name of a label; a relation
            has no edges; a number is not a positive integer, `planning_steps` is below
            0, a least number is above the greatest one, `max_labels` is below
            `max_degree`, `least_share` is not in (0, 1], or there are fewer than 2 or
            more than 1,000 nodes.

    Example:
        >>> graph = networkx.DiGraph()
        >>> graph.add_edge("Ann", "Beth", label="mother")
        >>> graph.add_edge("Beth", "Cleo", label="mother")
        >>> task = InferenceTask({"grandmother": ("mother", "mother")}, max_degree=1,
        ...     min_degree=1)
        >>> task.ask(graph, ("Ann", "grandmother")).answer
        [Triple(source='Ann', edge='grandmother', target='Cleo')]

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, Methods, "Inference task".
    """

    # With two labels, every node has an edge of each: the label alone says nothing, and
    # a network has to follow the edges. With more, it first guesses by the last label.
    LESSONS = (
        *((2, 2, 1, 1, 1, 1, None), (3, 3, 1, 1, 1, 1, None)),
        *((3, 3, 2, 2, 1, 1, None), (3, 3, 2, 2, 1, 2, 2), (3, 4, 2, 2, 1, 2, 2)),
        *((3, 4, 2, 2, 1, 3, 2), (3, 4, 2, 2, 1, 4, 2), (4, 6, 2, 3, 1, 2, None)),
        *((4, 6, 2, 3, 1, 3, None), (4, 6, 2, 3, 1, 4, None)),
        *((5, 8, 2, 4, 1, 4, None), (5, 10, 2, 4, 1, 4, None)),
        *((10, 15, 2, 4, 1, 4, None), (10, 20, 2, 5, 1, 4, None)),
    )
    LESSON_ARGUMENTS = (*GraphTask.LESSON_ARGUMENTS, "max_labels")

    def __init__(
        self,
        relations: Relations,
        min_nodes: int = 3,
        max_nodes: int = 10,
        min_degree: int = 2,
        max_degree: int = 4,
        min_path: int = 1,
        max_path: int = 4,
        planning_steps: int = 10,
        max_labels: int | None = None,
        least_share: float = 1.0,
    ) -> None:
        self._check_range("min_path", min_path, "max_path", max_path)
        self.relations, self.edge_labels = _checked(relations)
        self._numbers = _numbers(list(self.relations))
        positive_integer_or_none("max_labels", max_labels)
        self._drawn_labels = self.edge_labels[:max_labels]
        if positive_integer("max_degree", max_degree) > len(self._drawn_labels):
            raise ValueError(
                "Argument `max_degree` must be at most the number of edge labels in "
                "`relations`, and at most `max_labels`, since labels differ at a node. "
                f"Received: max_degree={max_degree}, {len(self.edge_labels)} labels, "
                f"max_labels={max_labels}"
            )
        self._asked = self._relations_asked(min_path, max_path)
        if not self._asked:
            raise ValueError(
                "Argument `relations` must have relations of `min_path` to `max_path` "
                "edges, and of the first `max_labels` labels. Received: "
                f"min_path={min_path}, max_path={max_path}, max_labels={max_labels}"
            )
        self.min_path, self.max_path, self.max_labels = min_path, max_path, max_labels
        self.least_share = probability(
            "least_share", least_share, includes_one=True, includes_zero=False
        )
        self.set_relation_errors({})
        sizes = (min_nodes, max_nodes, min_degree, max_degree)
        super().__init__(*sizes, 1, 1, planning_steps)

    def _relations_asked(self, min_path: int, max_path: int) -> list[Hashable]:
        """Return the relations of these lengths that consist of the labels drawn."""
        drawn = set(self._drawn_labels)
        return [
            name
            for name, path in self.relations.items()
            if min_path <= len(path) <= max_path and drawn.issuperset(path)
        ]

    def draw_edge_labels(self, rng: np.random.Generator) -> Sequence[Hashable]:
        """Return the edge labels of the relations; nothing is drawn."""
        return self._drawn_labels

    def draw_question(
        self, graph: networkx.DiGraph, rng: np.random.Generator
    ) -> tuple[Hashable, Hashable] | None:
        """Draw a relation, and a node that has it.

        A relation is drawn by its share, and replaced by another of its length if no
        node has it. Few small graphs have a given relation of four edges; drawn from
        those that a graph has, these relations would be asked less often than others.
        """
        follow = {(a, label): b for a, b, label in graph.edges(data="label")}
        # Each exponential variable is the least with a probability proportional to its
        # rate: this draws relations by their shares, without replacement.
        order = np.argsort(rng.exponential(size=len(self._shares)) / self._shares)
        drawn = [self._asked[index] for index in order.tolist()]
        length = len(self.relations[drawn[0]])
        for relation in drawn:
            path = self.relations[relation]
            if len(path) != length:
                continue
            nodes = [node for node in graph if _end(follow, node, path) is not None]
            if nodes:
                return nodes[rng.integers(len(nodes))], relation
        return None

    def set_relation_errors(self, errors: Mapping[Hashable, float]) -> None:
        """Set the errors of relations, to which their shares of the questions adapt.

        Args:
            errors: Dict from relations to their fraction of wrong answers, in [0, 1].

        Raises:
            ValueError: The task has no such relation, or an error is not in [0, 1].
        """
        unknown = [relation for relation in errors if relation not in self.relations]
        if unknown:
            raise ValueError(
                "Argument `errors` must be about relations of the task. "
                f"Received: {unknown}"
            )
        self.relation_errors = {
            relation: probability("errors", error, includes_one=True)
            for relation, error in errors.items()
        }
        found = [self.relation_errors.get(relation, 1.0) for relation in self._asked]
        self._shares = np.maximum(found, self.least_share)

    def survey(
        self, size: int, rng: np.random.Generator
    ) -> tuple[EpisodeBatch, list[Hashable]]:
        """Draw questions in which all relations have equal shares.

        Args:
            size: Number of questions.
            rng: `numpy.random.Generator`; the same state gives the same questions.

        Returns:
            `(batch, relations)`: an `EpisodeBatch`, and the list of the relations that
            its questions ask.

        Raises:
            ValueError: `size` is not a positive integer, or graphs of this size have no
                question.
        """
        check_positive_integers(size=size)
        even = copy.copy(self)
        even.set_relation_errors({})
        asked = [even.ask_about(self.draw_graph, rng) for _ in range(size)]
        batch = padded_batch([one.episode for one in asked], self.max_time)
        return batch, [one.question[0].edge for one in asked]

    def question_and_answer(
        self, graph: networkx.DiGraph, question: tuple[Hashable, Hashable]
    ) -> tuple[list[Triple], list[Triple]]:
        """Return the question, and the same triple with its target."""
        source, relation = question
        if relation not in self.relations:
            raise ValueError(
                "Argument `question` must ask for a relation of the task. "
                f"Received: question={question!r}"
            )
        check_node(graph, source)
        node = source
        for label in self.relations[relation]:
            node = edge_with(graph, node, label).target
        asked = Triple(source, relation, None)
        return [asked], [asked._replace(target=node)]

    def _labels(self, edges: Sequence[Triple], rng: np.random.Generator) -> Labels:
        """Return new numbers of nodes, and the numbers of edges and relations."""
        unknown = {edge.edge for edge in edges} - set(self.edge_labels)
        if unknown:
            raise ValueError(
                "Argument `graph` must have no other edge labels than "
                f"{list(self.edge_labels)}. "
                f"Received: {sorted(map(str, unknown))}"
            )
        return Labels(Labels.drawn(edges, rng).nodes, self._numbers)


def _checked(
    relations: Relations,
) -> tuple[dict[Hashable, tuple[Hashable, ...]], tuple[Hashable, ...]]:
    """Return relations and the labels of their edges, or raise a `ValueError`."""
    if not isinstance(relations, Mapping) or not relations:
        raise ValueError(
            "Argument `relations` must be a dict of relations. "
            f"Received: relations={relations!r}"
        )
    for name, path in relations.items():
        if isinstance(path, str) or not isinstance(path, Sequence) or not path:
            raise ValueError(
                "Argument `relations` must have a sequence of edge labels for each "
                f"relation. Received: {path!r} for {name!r}"
            )
    labels = dict.fromkeys(label for path in relations.values() for label in path)
    found: dict[Hashable, tuple[Hashable, ...]] = {label: (label,) for label in labels}
    for name, path in relations.items():
        if found.setdefault(name, tuple(path)) != tuple(path):
            raise ValueError(
                "Argument `relations` must have names that no edge has. "
                f"Received: {name!r}"
            )
    return found, tuple(labels)


def _numbers(labels: Sequence[Hashable]) -> dict[Hashable, int]:
    """Return a number for each label, the same in all episodes."""
    if len(labels) > NUMBERS:
        raise ValueError(
            f"Argument `relations` must have at most {NUMBERS} relations and labels. "
            f"Received: {len(labels)}"
        )
    numbers = np.random.default_rng(_SEED).permutation(NUMBERS)[: len(labels)]
    return dict(zip(labels, numbers.tolist(), strict=True))


def _end(
    follow: Mapping[tuple[Hashable, Hashable], Hashable],
    node: Hashable,
    path: Sequence[Hashable],
) -> Hashable | None:
    """Return the node at the end of a path, or `None` if there is no such path."""
    for label in path:
        if (node, label) not in follow:
            return None
        node = follow[node, label]
    return node
