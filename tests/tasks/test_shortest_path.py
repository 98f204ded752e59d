"""Shortest paths: which edges are right, and what a network's own choices lead to."""

import networkx
import numpy as np
import pytest

from keras_dnc.tasks import graphs
from keras_dnc.tasks.task import EpisodeBatch

TASK = graphs.ShortestPathTask(5, 8, 2, 3, max_path=3, planning_steps=4)


@pytest.fixture
def square():
    """Two ways of two edges from A to C, a longer one over E, and a dead end."""
    graph = networkx.MultiDiGraph()
    for a, b, label in [
        ("A", "B", "right"),
        ("A", "B", "also right"),
        ("A", "D", "down"),
        ("A", "E", "left"),
        ("A", "end", "out"),
        ("B", "C", "down"),
        ("D", "C", "right"),
        ("E", "D", "back"),
    ]:
        graph.add_edge(a, b, label=label)
    return graph


def as_batch(asked):
    return EpisodeBatch(*(field[None] for field in asked.episode))


def answering(asked, edges):
    """A network that answers with these edges, whatever it reads."""
    outputs = np.zeros_like(asked.episode.targets)
    outputs[asked.episode.mask > 0] = asked.labels.encode(edges)
    return lambda inputs: outputs[None]


def test_a_question_names_both_ends_and_the_answer_follows_a_plan(square):
    asked = TASK.ask(square, ("A", "C"))
    assert asked.question == [("A", None, "C")]
    assert [edge.target for edge in asked.answer] in (["B", "C"], ["D", "C"])
    inputs, targets, mask = asked.episode
    edges, planning = len(square.edges), 4
    assert mask.tolist() == [0] * (edges + 1 + planning) + [1, 1]
    assert not inputs[edges + 1 : edges + 1 + planning].any()
    first, second = inputs[mask > 0, :90]
    assert not first.any()
    np.testing.assert_array_equal(second, targets[mask > 0][0])


@pytest.mark.parametrize(
    "edges, wrong",
    [
        ([("A", "right", "B"), ("B", "down", "C")], 0),
        ([("A", "also right", "B"), ("B", "down", "C")], 0),
        ([("A", "down", "D"), ("D", "right", "C")], 0),
        ([("A", "down", "D"), ("B", "down", "C")], 1),  # not from where it is
        ([("A", "down", "B"), ("B", "down", "C")], 1),  # no edge of the graph
        ([("A", "left", "E"), ("E", "back", "D")], 1),  # then the best that is left
        ([("A", "out", "end"), ("A", "down", "D")], 2),
    ],
)
def test_any_shortest_path_is_right(square, edges, wrong):
    asked = TASK.ask(square, ("A", "C"))
    predict = answering(asked, edges)
    followed = TASK.follow(predict, as_batch(asked))
    assert TASK.errors(followed, predict(followed.inputs)).tolist() == [wrong]


def test_what_is_not_a_number_is_wrong(square):
    asked = TASK.ask(square, ("A", "C"))
    outputs = asked.episode.targets[None].copy()
    assert TASK.errors(as_batch(asked), outputs).tolist() == [0]
    outputs[0, -1, 5] = np.nan
    assert TASK.errors(as_batch(asked), outputs).tolist() == [1]


def test_a_network_that_leaves_the_path_is_shown_the_way_from_there(square):
    asked = TASK.ask(square, ("A", "C"))
    left = [("A", "left", "E"), ("E", "back", "D")]
    followed = TASK.follow(answering(asked, left), as_batch(asked))
    (inputs,), (targets,), (mask,) = followed
    read = asked.labels.decode(inputs[mask > 0, :90])[1]
    to_answer = asked.labels.decode(targets[mask > 0])
    assert read == ("A", "left", "E")
    assert to_answer[0].source == "A" and to_answer[0].target in ("B", "D")
    assert to_answer[1] == ("E", "back", "D")


def test_a_dead_end_is_not_followed(square):
    asked = TASK.ask(square, ("A", "C"))
    out = [("A", "out", "end"), ("B", "down", "C")]
    followed = TASK.follow(answering(asked, out), as_batch(asked))
    read = asked.labels.decode(followed.inputs[0, followed.mask[0] > 0, :90])[1]
    assert read.source == "A" and read.target in ("B", "D")


def test_without_own_choices_a_shortest_path_is_shown(rng):
    batch = TASK.batch(4, rng)
    noise = rng.normal(size=batch.targets.shape)
    followed = TASK.follow(lambda inputs: noise, batch, own=0.0)
    for before, after in zip(batch, followed, strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_sampled_path_is_one_of_networkx(rng):
    lengths = set()
    for _ in range(20):
        inputs, targets, mask = TASK.sample(rng)
        start = int(np.argmax(inputs[:, 90]))
        graph = networkx.DiGraph()
        for a, label, b in graphs.numbers_of(inputs[:start, :90]).tolist():
            graph.add_edge(a, b, label=label)
        source, _, goal = graphs.numbers_of(inputs[start, :90]).tolist()
        answer = graphs.numbers_of(targets[mask > 0]).tolist()
        path = [source, *(target for _, _, target in answer)]
        assert path in list(networkx.all_shortest_paths(graph, source, goal))
        assert all(graph.edges[a, b]["label"] == label for a, label, b in answer)
        lengths.add(len(answer))
    assert lengths == {1, 2, 3}


@pytest.mark.parametrize(
    "question, match",
    [
        (("A", "A"), "Received: question=\\('A', 'A'\\)"),
        (("C", "A"), "Received: question=\\('C', 'A'\\)"),
        (("F", "A"), "must be about nodes of the graph. Received: 'F'"),
        (("A", "F"), "must be about nodes of the graph. Received: 'F'"),
    ],
)
def test_questions_without_a_path_are_refused(square, question, match):
    with pytest.raises(ValueError, match=match):
        TASK.ask(square, question)


def test_paths_that_no_random_graph_has_are_refused(rng):
    task = graphs.ShortestPathTask(3, 3, 2, 2, min_path=3, max_path=3)
    with pytest.raises(ValueError, match="must have a question, but none of 1000"):
        task.sample(rng)


def test_a_share_outside_0_and_1_is_refused(square):
    asked = TASK.ask(square, ("A", "C"))
    with pytest.raises(ValueError, match="`own` must be at least 0 and at most 1"):
        TASK.follow(answering(asked, asked.answer), as_batch(asked), own=1.1)
