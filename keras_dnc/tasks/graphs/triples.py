"""Triples (source, edge, target) as vectors, and the numbers that stand for labels."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import networkx
import numpy as np
import numpy.typing as npt

NUMBERS = 1000  # labels are numbers of three digits
DIGITS, BASE = 3, 10
TRIPLE_SIZE = 3 * DIGITS * BASE
_PLACES = BASE ** np.arange(DIGITS)[::-1]  # hundreds, tens, ones


class Triple(NamedTuple):
    """An edge of a graph, or a question about one.

    Attributes:
        source: Label of the node that the edge leaves, or `None` where it is asked.
        edge: Label of the edge, or `None`.
        target: Label of the node that the edge reaches, or `None`.

    Example:
        >>> Triple("Bank", "Central, west", None)
        Triple(source='Bank', edge='Central, west', target=None)
    """

    source: Hashable
    edge: Hashable
    target: Hashable


def triples_of(graph: networkx.DiGraph) -> list[Triple]:
    """Return the edges of a graph.

    Args:
        graph: Directed graph whose edges have the attribute `label`.

    Returns:
        List of `Triple`, in the order of the graph.

    Example:
        >>> graph = networkx.DiGraph()
        >>> graph.add_edge("Bank", "Holborn", label="west")
        >>> triples_of(graph)
        [Triple(source='Bank', edge='west', target='Holborn')]
    """
    return [Triple(a, label, b) for a, b, label in graph.edges(data="label")]


def check_graph(graph: networkx.DiGraph) -> None:
    """Raise an error unless questions about a graph have one answer.

    Args:
        graph: Directed graph whose edges have the attribute `label`.

    Raises:
        TypeError: `graph` is not a directed graph.
        ValueError: The graph has no edge, an edge has no label, or two edges from one
            node have the same label.
    """
    if not isinstance(graph, networkx.DiGraph):
        raise TypeError(
            "Argument `graph` must be a `networkx.DiGraph` or `MultiDiGraph`: "
            "`graph.to_directed()` makes one of a graph without directions. "
            f"Received: {type(graph).__name__}"
        )
    triples = triples_of(graph)
    if not triples:
        raise ValueError("Argument `graph` must have edges. Received: none")
    seen = set()
    for source, edge, target in triples:
        if edge is None:
            raise ValueError(
                "Argument `graph` must have a `label` on each edge. "
                f"Received: none from {source!r} to {target!r}"
            )
        if (source, edge) in seen:
            raise ValueError(
                "Argument `graph` must have different labels on the edges from a node. "
                f"Received: {edge!r} twice from {source!r}"
            )
        seen.add((source, edge))


class Labels:
    """A three-digit number for each label of a node and for each label of an edge.

    Args:
        nodes: Dict from the labels of nodes to different numbers from 0 to 999.
        edges: Dict from the labels of edges to different numbers from 0 to 999.

    Raises:
        ValueError: An argument is not a dict, two labels have one number, or a number
            is not an integer from 0 to 999.

    Example:
        >>> labels = Labels({"Bank": 12, "Holborn": 7}, {"west": 123})
        >>> labels.encode([Triple("Bank", "west", None)]).shape
        (1, 90)
        >>> labels.decode(labels.encode([Triple("Bank", "west", "Holborn")]))
        [Triple(source='Bank', edge='west', target='Holborn')]
    """

    def __init__(self, nodes: dict[Hashable, int], edges: dict[Hashable, int]) -> None:
        _check_numbers("nodes", nodes)
        _check_numbers("edges", edges)
        self.nodes, self.edges = dict(nodes), dict(edges)
        self._node_of = {number: label for label, number in nodes.items()}
        self._edge_of = {number: label for label, number in edges.items()}

    @classmethod
    def drawn(cls, triples: Iterable[Triple], rng: np.random.Generator) -> "Labels":
        """Draw a random number for each label of some triples.

        Args:
            triples: `Triple`s without `None`.
            rng: `numpy.random.Generator`.

        Returns:
            `Labels`.

        Raises:
            ValueError: There are more than 1,000 nodes, or labels of edges.
        """
        sources, edges, targets = zip(*triples, strict=True)
        found = []
        for name, labels in (("nodes", sources + targets), ("edges", edges)):
            different = list(dict.fromkeys(labels))
            if len(different) > NUMBERS:
                raise ValueError(
                    f"Argument `triples` must have at most {NUMBERS} {name}. "
                    f"Received: {len(different)}"
                )
            numbers = rng.choice(NUMBERS, len(different), replace=False)
            found.append(dict(zip(different, numbers.tolist(), strict=True)))
        return cls(*found)

    def encode(self, triples: Sequence[Triple]) -> np.ndarray:
        """Encode triples; a label that is `None` is all zeros.

        Args:
            triples: List of `Triple`.

        Returns:
            `(triples, 90)`, float32: three digits of the source, three of the edge and
            three of the target, each one-hot of 10.

        Raises:
            ValueError: A label has no number.
        """
        numbers = [self._numbers(triple) for triple in triples]
        return vectors_of(np.array(numbers, int).reshape(-1, 3))

    def _numbers(self, triple: Triple) -> list[int]:
        """Return the numbers of a triple's labels, -1 where one is left out."""
        tables = self.nodes, self.edges, self.nodes
        try:
            return [
                -1 if label is None else table[label]
                for label, table in zip(triple, tables, strict=True)
            ]
        except KeyError as error:
            raise ValueError(
                "Argument `triples` must have labels of the graph. "
                f"Received: {error.args[0]!r}"
            ) from None

    def decode(self, vectors: npt.ArrayLike) -> list[Triple]:
        """Return the triples that vectors are nearest to.

        Args:
            vectors: `(triples, 90)`, encoded triples or logits.

        Returns:
            List of `Triple`; a number that no label has is `None`.
        """
        return [
            Triple(self._node_of.get(a), self._edge_of.get(b), self._node_of.get(c))
            for a, b, c in numbers_of(vectors).tolist()
        ]


def vectors_of(numbers: np.ndarray) -> np.ndarray:
    """Return triples of numbers as vectors.

    Args:
        numbers: `(..., 3)`, integers from 0 to 999, or -1 for labels that are left out.

    Returns:
        `(..., 90)`, float32, digits that are one-hot of 10, or zeros.

    Example:
        >>> vectors_of(np.array([12, 123, -1])).nonzero()[0].tolist()
        [0, 11, 22, 31, 42, 53]
    """
    numbers = np.asarray(numbers)
    return _VECTORS[numbers].reshape(*numbers.shape[:-1], TRIPLE_SIZE)


def _vectors() -> np.ndarray:
    """Return the vectors of all numbers, `(1001, 30)`; the last is that of -1."""
    digits = np.arange(NUMBERS)[:, None] // _PLACES % BASE
    vectors = np.zeros((NUMBERS + 1, DIGITS, BASE), "float32")
    vectors[:-1] = np.eye(BASE)[digits]
    return vectors.reshape(NUMBERS + 1, DIGITS * BASE)


_VECTORS = _vectors()  # looked up, because training encodes every edge of every graph


def numbers_of(vectors: npt.ArrayLike) -> np.ndarray:
    """Return the numbers of the labels that vectors are nearest to.

    Args:
        vectors: `(..., 90)`, encoded triples or logits.

    Returns:
        `(..., 3)`, integers from 0 to 999.

    Example:
        >>> labels = Labels({"Bank": 12, "Holborn": 7}, {"west": 123})
        >>> numbers_of(labels.encode([Triple("Bank", "west", "Holborn")])).tolist()
        [[12, 123, 7]]
    """
    vectors = np.asarray(vectors)
    digits = vectors.reshape(*vectors.shape[:-1], 3, DIGITS, BASE).argmax(axis=-1)
    return digits @ _PLACES


def _check_numbers(name: str, numbers: Any) -> None:
    """Raise a `ValueError` unless labels have different numbers of three digits."""
    is_dict = isinstance(numbers, Mapping)
    values = list(numbers.values()) if is_dict else []
    fit = all(map(_is_number, values)) and len(set(values)) == len(values)
    if not is_dict or not fit:
        raise ValueError(
            f"Argument `{name}` must have different numbers from 0 to {NUMBERS - 1}. "
            f"Received: {name}={numbers!r}"
        )


def _is_number(value: Any) -> bool:
    """Return whether a value is an integer from 0 to 999."""
    return type(value) is int and 0 <= value < NUMBERS
