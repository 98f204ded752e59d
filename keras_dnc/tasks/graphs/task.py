"""The base of the graph tasks: how a graph and a question become an episode."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, Self, TypeAlias

import networkx
import numpy as np
import numpy.typing as npt

from keras_dnc.arguments import natural_number
from keras_dnc.tasks.graphs.random_graphs import random_graph
from keras_dnc.tasks.graphs.triples import BASE
from keras_dnc.tasks.graphs.triples import NUMBERS
from keras_dnc.tasks.graphs.triples import TRIPLE_SIZE
from keras_dnc.tasks.graphs.triples import Labels
from keras_dnc.tasks.graphs.triples import Triple
from keras_dnc.tasks.graphs.triples import check_graph
from keras_dnc.tasks.graphs.triples import numbers_of
from keras_dnc.tasks.graphs.triples import triples_of
from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import EpisodeBatch
from keras_dnc.tasks.task import Task
from keras_dnc.tasks.task import check_positive_integers
from keras_dnc.tasks.task import padded_batch

_QUESTION, _ANSWER = TRIPLE_SIZE, TRIPLE_SIZE + 1  # control channels
_NOTHING = Triple(None, None, None)
_DRAWS = 1000  # graphs drawn before a task without questions is refused


class Asked(NamedTuple):
    """A question about a graph, as an episode and as triples.

    Attributes:
        episode: `Episode`, what the network reads and should answer.
        labels: `Labels`, which number stands for which label.
        edges: List of `Triple`, the edges in the order in which they are read.
        question: List of `Triple`, the question; `None` is what is asked.
        answer: List of `Triple`, the right answer.
    """

    episode: Episode
    labels: Labels
    edges: list[Triple]
    question: list[Triple]
    answer: list[Triple]

    def decode(self, outputs: npt.ArrayLike) -> list[Triple]:
        """Return the answer of a network in the labels of the graph.

        Args:
            outputs: `(time, 90)`, logits at all steps of the episode, padded or not.

        Returns:
            List of `Triple`, one per step of the answer; `None` stands for a number
            that no label of the graph has.
        """
        asked = np.flatnonzero(self.episode.mask)
        return self.labels.decode(np.asarray(outputs)[asked])


class Score(NamedTuple):
    """How well questions are answered.

    Attributes:
        questions: Fraction of the questions whose whole answer is right, in [0, 1].
        triples: Fraction of the triples of all answers that are right, in [0, 1].
    """

    questions: float
    triples: float


DrawGraph: TypeAlias = Callable[[np.random.Generator], networkx.DiGraph]


class GraphTask(Task):
    """Read a graph edge by edge, then answer a question about it.

    An episode has up to four phases. Each step of the description shows one edge, in
    random order. The question shows triples with the asked parts left out, and channel
    90 is 1. Then come `planning_steps` steps without input, and the answer, a triple at
    each step, where channel 91 is 1 and the other inputs are 0. Labels are three-digit
    numbers, one-hot digit by digit.

    Each episode is about a new random graph with new numbers, so that a network has to
    read the graph and cannot remember it. A subclass defines `draw_question` and
    `question_and_answer`, the sizes `max_question` and `max_answer`, and `LESSONS`.

    Args:
        min_nodes: Least number of nodes of a random graph, at least 2.
        max_nodes: Greatest number of nodes, at most 1,000.
        min_degree: Least number of edges from a node.
        max_degree: Greatest number of edges from a node.
        max_question: Greatest number of steps of a question.
        max_answer: Greatest number of steps of an answer.
        planning_steps: Number of steps between question and answer. Defaults to 0.

    Raises:
        ValueError: A number is not a positive integer, `planning_steps` is below 0, a
            least number is above the greatest one, or there are fewer than 2 or more
            than 1,000 nodes.

    Departures:
        Some random graphs have only a few different edge labels, each used at many
        nodes. The paper only says that labels differ at a node.

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, Methods, "Graph task descriptions".
    """

    LESSONS: Sequence[tuple[Any, ...]]  # values of LESSON_ARGUMENTS, a row a lesson
    LESSON_ARGUMENTS: Sequence[str] = (
        *("min_nodes", "max_nodes", "min_degree", "max_degree"),
        *("min_path", "max_path"),
    )
    observation_size = TRIPLE_SIZE + 2
    target_size = TRIPLE_SIZE
    metric = "wrong triples a question"

    def __init__(
        self,
        min_nodes: int,
        max_nodes: int,
        min_degree: int,
        max_degree: int,
        max_question: int,
        max_answer: int,
        planning_steps: int = 0,
    ) -> None:
        self._check_range("min_nodes", min_nodes, "max_nodes", max_nodes)
        self._check_range("min_degree", min_degree, "max_degree", max_degree)
        if min_nodes < 2 or max_nodes > 1000:
            raise ValueError(
                "Arguments `min_nodes` and `max_nodes` must be from 2 to 1000. "
                f"Received: min_nodes={min_nodes}, max_nodes={max_nodes}"
            )
        self.min_nodes, self.max_nodes = min_nodes, max_nodes
        self.min_degree, self.max_degree = min_degree, max_degree
        check_positive_integers(max_question=max_question, max_answer=max_answer)
        self.planning_steps = natural_number("planning_steps", planning_steps)
        edges = max_nodes * min(max_degree, max_nodes - 1)
        self.max_time = edges + max_question + planning_steps + max_answer

    @classmethod
    def lessons(cls, **arguments: Any) -> list[Self]:
        """Return tasks of rising difficulty, for `keras_dnc.tasks.levels.Levels`.

        Each row of `LESSONS` has the values of `LESSON_ARGUMENTS`. The lessons follow
        the curriculum of Graves et al. (2016), preceded by smaller graphs: a network
        learns to look up an edge among two or three edges, and does not learn it among
        ten.

        Args:
            **arguments: Further arguments of the constructor.

        Returns:
            List of tasks.
        """
        return [
            cls(**dict(zip(cls.LESSON_ARGUMENTS, row, strict=True)), **arguments)
            for row in cls.LESSONS
        ]

    def draw_question(self, graph: networkx.DiGraph, rng: np.random.Generator) -> Any:
        """Draw a question about a random graph.

        Args:
            graph: The graph.
            rng: `numpy.random.Generator`; the same state gives the same question.

        Returns:
            What `question_and_answer` takes, or `None` if the graph has no question
            that fits the sizes of the task.
        """
        raise NotImplementedError

    def question_and_answer(
        self, graph: networkx.DiGraph, question: Any
    ) -> tuple[list[Triple], list[Triple]]:
        """Return a question and its right answer as triples.

        Args:
            graph: The graph.
            question: The question, in the form that the task documents.

        Returns:
            `(question, answer)`, two lists of `Triple`.

        Raises:
            ValueError: The question has no answer in this graph.
        """
        raise NotImplementedError

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw a graph and a question.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode`.
        """
        return self.ask_about(self.draw_graph, rng).episode

    def ask_about(self, draw_graph: DrawGraph, rng: np.random.Generator) -> Asked:
        """Draw graphs until one has a question, and ask it.

        Args:
            draw_graph: Function from a `numpy.random.Generator` to a graph, as `ask`
                takes it, such as the method `draw_graph`.
            rng: `numpy.random.Generator`; the same state gives the same question.

        Returns:
            `Asked`.

        Raises:
            ValueError: None of 1,000 graphs has a question that fits the sizes of the
                task.
        """
        for _ in range(_DRAWS):
            graph = draw_graph(rng)
            question = self.draw_question(graph, rng)
            if question is not None:
                return self.ask(graph, question, rng)
        raise ValueError(
            f"A graph must have a question, but none of {_DRAWS} has one. Use "
            "more nodes, fewer edges or shorter paths. Received: "
            f"min_nodes={self.min_nodes}, max_nodes={self.max_nodes}, "
            f"min_degree={self.min_degree}, max_degree={self.max_degree}"
        )

    def batch_about(
        self, draw_graph: DrawGraph, batch_size: int, rng: np.random.Generator
    ) -> EpisodeBatch:
        """Draw questions about other graphs than the random ones of the task.

        Args:
            draw_graph: Function from a `numpy.random.Generator` to a graph, as `ask`
                takes it, such as `lambda rng: graph`.
            batch_size: Number of questions.
            rng: `numpy.random.Generator`; the same state gives the same batch.

        Returns:
            `EpisodeBatch`, padded to its longest episode.

        Raises:
            ValueError: `batch_size` is not a positive integer, or the graphs have no
                question that fits the sizes of the task.
        """
        check_positive_integers(batch_size=batch_size)
        asked = (self.ask_about(draw_graph, rng) for _ in range(batch_size))
        episodes = [question.episode for question in asked]
        return padded_batch(episodes, max(len(episode.mask) for episode in episodes))

    def draw_graph(self, rng: np.random.Generator) -> networkx.DiGraph:
        """Draw a random graph.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same graph.

        Returns:
            `networkx.DiGraph` whose edges have the attribute `label`.
        """
        num_nodes = int(rng.integers(self.min_nodes, self.max_nodes + 1))
        labels = self.draw_edge_labels(rng)
        return random_graph(num_nodes, self.min_degree, self.max_degree, rng, labels)

    def draw_edge_labels(self, rng: np.random.Generator) -> Sequence[Hashable]:
        """Draw the labels that the edges of a random graph may have.

        Their number is drawn evenly on a logarithmic scale: lines of a transport
        network repeat from station to station, streets of a city do not. A network that
        has seen no repeated labels looks edges up by their labels alone.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same labels.

        Returns:
            Sequence of at least `max_degree` labels.
        """
        count = np.exp(rng.uniform(np.log(self.max_degree), np.log(NUMBERS)))
        return range(max(int(count), self.max_degree))

    def ask(
        self,
        graph: networkx.DiGraph,
        question: Any,
        rng: np.random.Generator | int = 0,
    ) -> Asked:
        """Ask a question about any labelled graph.

        Args:
            graph: `networkx.DiGraph` or `MultiDiGraph` whose edges have the attribute
                `label`, different at each node; labels and nodes may be any hashable
                objects. It may be larger than the graphs of the task, if the memory is.
            question: The question, in the form that the task documents.
            rng: `numpy.random.Generator`, or a seed, of the order in which edges are
                read and of the numbers of labels. Defaults to 0.

        Returns:
            `Asked`.

        Raises:
            TypeError: `graph` is not directed.
            ValueError: Labels are missing, equal at one node, or more than 1,000, or
                the question has no answer in this graph.
        """
        check_graph(graph)
        rng = np.random.default_rng(rng)
        asked, answer = self.question_and_answer(graph, question)
        edges = triples_of(graph)
        edges = [edges[index] for index in rng.permutation(len(edges))]
        labels = self._labels(edges, rng)
        return Asked(
            self._episode(labels, edges, asked, answer), labels, edges, asked, answer
        )

    def _labels(self, edges: Sequence[Triple], rng: np.random.Generator) -> Labels:
        """Return the numbers of the labels of a graph."""
        return Labels.drawn(edges, rng)

    def _episode(
        self,
        labels: Labels,
        edges: list[Triple],
        question: list[Triple],
        answer: list[Triple],
    ) -> Episode:
        """Build the phases of an episode."""
        answer_starts = len(edges) + len(question) + self.planning_steps
        time = answer_starts + len(answer)
        inputs = np.zeros((time, self.observation_size), "float32")
        inputs[: len(edges) + len(question), :TRIPLE_SIZE] = labels.encode(
            [*edges, *question]
        )
        inputs[len(edges) : len(edges) + len(question), _QUESTION] = 1.0
        inputs[answer_starts:, :TRIPLE_SIZE] = labels.encode(self._shown(answer))
        inputs[answer_starts:, _ANSWER] = 1.0
        targets = np.zeros((time, self.target_size), "float32")
        targets[answer_starts:] = labels.encode(answer)
        mask = (np.arange(time) >= answer_starts).astype("float32")
        return Episode(inputs, targets, mask)

    def _shown(self, answer: list[Triple]) -> list[Triple]:
        """Return what the network reads at the steps of the answer."""
        return [_NOTHING] * len(answer)

    def errors(self, batch: EpisodeBatch, outputs: npt.ArrayLike) -> np.ndarray:
        """Count the wrong triples of each answer.

        Args:
            batch: `EpisodeBatch`.
            outputs: Logits, `(batch, max_time, 90)`. A triple is right if the largest
                logit of each of its nine digits is the right one. NaN is wrong.

        Returns:
            `(batch,)`, integers of at least 0.
        """
        outputs = np.asarray(outputs)
        right = (numbers_of(outputs) == numbers_of(batch.targets)).all(axis=-1)
        right &= np.isfinite(outputs).all(axis=-1)
        return np.sum(~right & (batch.mask > 0), axis=1)

    def score(self, batch: EpisodeBatch, outputs: npt.ArrayLike) -> Score:
        """Measure the answers to the questions of a batch.

        Args:
            batch: `EpisodeBatch`.
            outputs: Logits, `(batch, time, 90)`.

        Returns:
            `Score`.
        """
        errors = self.errors(batch, outputs)
        triples = 1.0 - errors.sum() / batch.mask.sum()
        return Score(float(np.mean(errors == 0)), float(triples))

    def to_text(self, episode: Episode, outputs: npt.ArrayLike | None = None) -> str:
        """Write an episode as lines of triples of three-digit numbers.

        Args:
            episode: `Episode`, padded or not.
            outputs: Logits, `(time, 90)`, to write behind the targets. Defaults to
                `None`, for no outputs.

        Returns:
            Text with one line per step that has inputs or targets.
        """
        lines = []
        for step, row in enumerate(np.asarray(episode.inputs)):
            phase = "question" if row[_QUESTION] else "edge"
            if episode.mask[step]:
                found = "" if outputs is None else _as_text(np.asarray(outputs)[step])
                target = _as_text(episode.targets[step])
                lines.append(f"{'answer':9} {target}  {found}".rstrip())
            elif row.any():
                lines.append(f"{phase:9} {_as_text(row[:TRIPLE_SIZE])}")
        return "\n".join(lines)


def _as_text(vector: np.ndarray) -> str:
    """Write an encoded triple, `___` where a label is left out."""
    labels = np.reshape(vector, (3, -1, BASE))
    texts = (
        "".join(map(str, label.argmax(-1))) if label.any() else "_" * label.shape[0]
        for label in labels
    )
    return " ".join(texts)


def check_node(graph: networkx.DiGraph, node: Hashable) -> None:
    """Raise a `ValueError` unless a graph has a node.

    Args:
        graph: The graph.
        node: The node of a question.

    Raises:
        ValueError: The node does not exist.
    """
    if node not in graph:
        raise ValueError(
            "Argument `question` must be about nodes of the graph. "
            f"Received: {node!r}, which is none"
        )


def edge_with(graph: networkx.DiGraph, source: Hashable, label: Hashable) -> Triple:
    """Return the edge with a label from a node.

    Args:
        graph: Directed graph whose edges have the attribute `label`.
        source: The node.
        label: The label.

    Returns:
        `Triple`.

    Raises:
        ValueError: The node does not exist, or has no edge with this label.
    """
    check_node(graph, source)
    for _, target, found in graph.out_edges(source, data="label"):
        if found == label:
            return Triple(source, label, target)
    known = [found for _, _, found in graph.out_edges(source, data="label")]
    raise ValueError(
        "Argument `question` must follow edges of the graph. "
        f"Received: {label!r} from {source!r}, which has {known}"
    )
