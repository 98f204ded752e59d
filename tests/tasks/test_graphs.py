"""Questions about graphs: what the network reads, what counts as right, any graph."""

import networkx
import numpy as np
import pytest

from keras_dnc.tasks import graphs

TASK = graphs.TraversalTask(min_nodes=4, max_nodes=6, min_degree=2, max_degree=3)


@pytest.fixture
def underground():
    graph = networkx.DiGraph()
    for a, b, line in [
        ("Oxford Circus", "Bond Street", "Central"),
        ("Bond Street", "Green Park", "Jubilee"),
        ("Green Park", "Oxford Circus", "Victoria"),
        ("Green Park", "Bond Street", "Jubilee, north"),
    ]:
        graph.add_edge(a, b, label=line)
    return graph


def test_a_random_graph_joins_each_point_to_its_nearest_neighbours(rng):
    graph = graphs.random_graph(12, 2, 4, rng)
    place = networkx.get_node_attributes(graph, "position")

    def distance(a, b):
        return np.hypot(*np.subtract(place[a], place[b]))

    degrees = set()
    for node in graph:
        near = sorted(set(graph) - {node}, key=lambda other: distance(node, other))
        degree = graph.out_degree(node)
        assert set(graph.successors(node)) == set(near[:degree])
        labels = [label for _, _, label in graph.out_edges(node, data="label")]
        assert len(set(labels)) == degree
        degrees.add(degree)
    assert degrees == {2, 3, 4}


def test_edge_labels_repeat_in_some_graphs_and_differ_in_others(rng):
    task = graphs.TraversalTask(min_nodes=20, max_nodes=20, min_degree=2, max_degree=4)
    shares = []
    for _ in range(100):
        edges = task.draw_graph(rng).edges(data="label")
        shares.append(len({label for _, _, label in edges}) / len(edges))
    assert min(shares) < 0.15 and max(shares) > 0.95


def test_all_edges_are_read_then_the_question_then_the_answer(underground):
    question = ("Oxford Circus", ["Central", "Jubilee", "Victoria"])
    asked = TASK.ask(underground, question)
    assert sorted(asked.edges) == sorted(graphs.triples_of(underground))
    assert asked.question == [
        ("Oxford Circus", "Central", None),
        (None, "Jubilee", None),
        (None, "Victoria", None),
    ]
    assert [edge.target for edge in asked.answer] == [
        "Bond Street",
        "Green Park",
        "Oxford Circus",
    ]
    inputs, targets, mask = asked.episode
    assert asked.labels.decode(inputs[:4, :90]) == asked.edges
    assert not inputs[7:, :90].any() and not targets[:7].any()
    assert inputs[:, 90].tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert inputs[:, 91].tolist() == mask.tolist() == [0.0] * 7 + [1.0] * 3
    assert inputs[5].sum() == 3 + 1  # three digits of a label, and the control channel


def test_an_answer_is_read_in_the_labels_of_the_graph(underground):
    asked = TASK.ask(underground, ("Bond Street", ["Jubilee"]))
    assert asked.decode(asked.episode.targets) == asked.answer
    padded = np.pad(asked.episode.targets, [(0, 3), (0, 0)])
    assert asked.decode(padded) == asked.answer


def test_a_path_may_be_as_long_as_one_likes(underground):
    path = ["Jubilee", "Jubilee, north"] * 8
    asked = TASK.ask(underground, ("Bond Street", path))
    assert asked.answer[-1].target == "Bond Street" and len(asked.answer) == 16


def test_numbers_of_labels_are_new_in_each_episode(underground):
    question = ("Bond Street", ["Jubilee"])
    numbers = [TASK.ask(underground, question, seed).labels.nodes for seed in range(5)]
    assert len({tuple(found.values()) for found in numbers}) == 5
    again = TASK.ask(underground, question, 3).episode
    for one, other in zip(
        TASK.ask(underground, question, 3).episode, again, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_sampled_path_follows_the_edges_that_were_read(rng):
    for _ in range(20):
        inputs, targets, mask = TASK.sample(rng)
        numbers = {number: number for number in range(1000)}
        labels = graphs.Labels(numbers, numbers)
        starts = int(np.argmax(inputs[:, 90]))
        edges = set(labels.decode(inputs[:starts, :90]))
        answer = labels.decode(targets[mask > 0])
        assert set(answer) <= edges
        for before, after in zip(answer, answer[1:], strict=False):
            assert before.target == after.source


def test_a_triple_is_wrong_if_one_digit_is(rng):
    batch = TASK.batch(3, rng)
    outputs = 5.0 * batch.targets
    assert TASK.errors(batch, outputs).tolist() == [0, 0, 0]
    step = int(np.argmax(batch.mask[1]))
    outputs[1, step, :10] = np.roll(outputs[1, step, :10], 1)
    outputs[2, np.flatnonzero(batch.mask[2])] = np.nan
    count = int(batch.mask[2].sum())
    assert TASK.errors(batch, outputs).tolist() == [0, 1, count]


def test_questions_are_asked_about_graphs_of_ones_own(underground, rng):
    task = graphs.TraversalTask(min_path=3, max_path=6)
    batch = task.batch_about(lambda rng: underground, 20, rng)
    longest = 4 + 2 * int(batch.mask.sum(axis=1).max())
    assert batch.inputs.shape == (20, longest, 92)
    assert {3, 6} <= set(batch.mask.sum(axis=1).tolist()) <= {3, 4, 5, 6}
    for inputs, targets, mask in zip(*batch, strict=True):
        edges = graphs.numbers_of(inputs[:4, :90]).tolist()
        assert all(
            edge in edges for edge in graphs.numbers_of(targets[mask > 0]).tolist()
        )


def test_no_path_is_asked_through_a_node_without_edges(underground, rng):
    underground.add_edge("Oxford Circus", "depot", label="out of service")
    underground.add_node("closed station")
    task = graphs.TraversalTask(min_path=2, max_path=2)
    batch = task.batch_about(lambda rng: underground, 30, rng)
    for targets, mask in zip(batch.targets, batch.mask, strict=True):
        answer = graphs.numbers_of(targets[mask > 0])
        assert len(answer) == 2 and answer[0, 2] == answer[1, 0]
    lone = networkx.DiGraph([("a", "b", {"label": "next"})])
    with pytest.raises(ValueError, match="none of 1000 has one"):
        task.batch_about(lambda rng: lone, 1, rng)


def test_questions_and_triples_are_scored(rng):
    batch = TASK.batch(4, rng)
    outputs = batch.targets.copy()
    step = int(np.argmax(batch.mask[1]))
    outputs[1, step] = np.nan
    score = TASK.score(batch, outputs)
    assert score.questions == 0.75
    assert score.triples == pytest.approx(1 - 1 / batch.mask.sum())


def test_an_episode_is_written_as_triples(underground):
    asked = TASK.ask(underground, ("Bond Street", ["Jubilee"]))
    text = TASK.to_text(asked.episode, asked.episode.targets).splitlines()
    source, edge = asked.labels.nodes["Bond Street"], asked.labels.edges["Jubilee"]
    target = asked.labels.nodes["Green Park"]
    answer = f"{source:03d} {edge:03d} {target:03d}"
    assert text[4] == f"question  {source:03d} {edge:03d} ___"
    assert text[5] == f"answer    {answer}  {answer}"
    assert [line.split()[0] for line in text] == ["edge"] * 4 + ["question", "answer"]


@pytest.mark.parametrize(
    "question, match",
    [
        (("Bank", ["Central"]), "must be about nodes of the graph. Received: 'Bank'"),
        (("Bond Street", ["Central"]), "'Central' from 'Bond Street', which has"),
        (("Bond Street", []), "at least one edge"),
    ],
)
def test_questions_without_an_answer_are_refused(underground, question, match):
    with pytest.raises(ValueError, match=match):
        TASK.ask(underground, question)


def test_graphs_whose_questions_have_no_single_answer_are_refused(underground):
    question = ("Bond Street", ["Jubilee"])
    with pytest.raises(TypeError, match="must be a `networkx.DiGraph`"):
        TASK.ask(underground.to_undirected(), question)
    with pytest.raises(ValueError, match="must have edges"):
        TASK.ask(networkx.DiGraph(), question)
    underground.add_edge("Bond Street", "Marble Arch")
    with pytest.raises(ValueError, match="none from 'Bond Street' to 'Marble Arch'"):
        TASK.ask(underground, question)
    underground.add_edge("Bond Street", "Marble Arch", label="Jubilee")
    with pytest.raises(ValueError, match="'Jubilee' twice from 'Bond Street'"):
        TASK.ask(underground, question)


def test_more_nodes_than_numbers_are_refused(rng):
    graph = networkx.DiGraph()
    for node in range(1001):
        graph.add_edge(node, (node + 1) % 1001, label="next")
    with pytest.raises(ValueError, match="at most 1000 nodes. Received: 1001"):
        TASK.ask(graph, (0, ["next"]))


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"min_nodes": 1}, "`min_nodes` and `max_nodes` must be from 2 to 1000"),
        ({"max_nodes": 1001}, "from 2 to 1000"),
        ({"min_path": 3, "max_path": 2}, "`min_path` must be at most `max_path`"),
        ({"max_degree": 0}, "`max_degree` must be a positive integer"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        graphs.TraversalTask(**arguments)


def test_labels_with_one_number_are_refused():
    with pytest.raises(ValueError, match="`nodes` must have different numbers"):
        graphs.Labels({"a": 1, "b": 1}, {})
