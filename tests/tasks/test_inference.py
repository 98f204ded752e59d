"""Relations that are composed of edges: random graphs and family trees."""

import itertools

import networkx
import numpy as np
import pytest

from keras_dnc.tasks import graphs

RELATIONS = {"grandmother": ("mother", "mother"), "uncle": ("mother", "mother", "son")}
SIZES = {"min_nodes": 4, "max_nodes": 6, "min_degree": 1, "max_degree": 2}
TASK = graphs.InferenceTask(RELATIONS, **SIZES)


@pytest.fixture
def family():
    graph = networkx.DiGraph()
    for a, label, b in [
        ("Ann", "mother", "Beth"),
        ("Beth", "mother", "Cleo"),
        ("Cleo", "son", "Dan"),
    ]:
        graph.add_edge(a, b, label=label)
    return graph


def test_a_relation_is_answered_with_its_end(family):
    asked = TASK.ask(family, ("Ann", "uncle"))
    assert asked.question == [("Ann", "uncle", None)]
    assert asked.answer == [("Ann", "uncle", "Dan")]
    assert asked.decode(asked.episode.targets) == asked.answer
    assert len(asked.episode.mask) == 3 + 1 + 10 + 1


def test_an_edge_is_a_relation_of_one_edge(family):
    assert TASK.ask(family, ("Cleo", "son")).answer[0].target == "Dan"


def test_relations_have_the_same_numbers_in_all_episodes_and_nodes_new_ones(family):
    found = [TASK.ask(family, ("Ann", "uncle"), seed).labels for seed in range(5)]
    assert len({tuple(labels.nodes.values()) for labels in found}) == 5
    assert len({tuple(labels.edges.items()) for labels in found}) == 1
    again = graphs.InferenceTask(RELATIONS, max_degree=2)
    again = again.ask(family, ("Ann", "uncle")).labels
    assert again.edges == found[0].edges


def test_sampled_questions_have_the_lengths_that_are_asked(rng):
    task = graphs.InferenceTask(RELATIONS, **SIZES, min_path=2, max_path=3)
    son = networkx.DiGraph([("a", "b", {"label": "son"})])
    numbers = TASK.ask(son, ("a", "son")).labels.edges
    relation_of = {number: relation for relation, number in numbers.items()}
    seen = set()
    for _ in range(40):
        inputs, targets, mask = task.sample(rng)
        start = int(np.argmax(inputs[:, 90]))
        edges = graphs.numbers_of(inputs[:start, :90]).tolist()
        follow = {(a, relation_of[label]): b for a, label, b in edges}
        ((node, number, target),) = graphs.numbers_of(targets[mask > 0]).tolist()
        for label in RELATIONS[relation_of[number]]:
            node = follow[node, label]
        assert node == target
        seen.add(relation_of[number])
    assert seen == set(RELATIONS)


def test_few_labels_are_drawn_and_only_their_relations_asked(rng):
    task = graphs.InferenceTask(RELATIONS, 3, 5, 1, 1, max_labels=1)
    assert {
        label
        for _ in range(20)
        for *_, label in task.draw_graph(rng).edges(data="label")
    } == {"mother"}
    graph = networkx.DiGraph([("a", "b", {"label": "mother"})])
    graph.add_edge("b", "c", label="mother")
    graph.add_edge("c", "d", label="son")
    asked = {task.draw_question(graph, rng) for _ in range(40)}
    assert {relation for _, relation in asked} == {"mother", "grandmother"}


def test_relations_are_asked_in_proportion_to_their_errors(family, rng):
    task = graphs.InferenceTask(RELATIONS, **SIZES, least_share=0.25)
    task.set_relation_errors({"mother": 0.5, "son": 0.0, "uncle": 0.25})
    assert task.relation_errors == {"mother": 0.5, "son": 0.0, "uncle": 0.25}
    asked = [task.draw_question(family, rng)[1] for _ in range(2000)]
    shares = {relation: asked.count(relation) / 2000 for relation in set(asked)}
    expected = {"grandmother": 0.5, "mother": 0.25, "son": 0.125, "uncle": 0.125}
    assert shares == pytest.approx(expected, abs=0.04)
    _, surveyed = task.survey(400, rng)
    assert 30 < surveyed.count("son") < 170  # equal shares, if a graph has the relation
    assert task.relation_errors["mother"] == 0.5


def test_a_survey_names_the_relation_of_each_question(rng):
    batch, relations = TASK.survey(6, rng)
    numbers = TASK.ask(networkx.DiGraph([("a", "b", {"label": "son"})]), ("a", "son"))
    numbers = numbers.labels.edges
    for targets, mask, relation in zip(
        batch.targets, batch.mask, relations, strict=True
    ):
        ((_, number, _),) = graphs.numbers_of(targets[mask > 0]).tolist()
        assert number == numbers[relation]


@pytest.mark.parametrize(
    "errors, match",
    [
        ({"aunt": 0.5}, "`errors` must be about relations of the task.*aunt"),
        ({"uncle": 1.5}, "`errors` must be at least 0 and at most 1"),
    ],
)
def test_wrong_errors_of_relations_are_refused(errors, match):
    with pytest.raises(ValueError, match=match):
        TASK.set_relation_errors(errors)


def test_lessons_end_with_all_labels_and_relations():
    lessons = graphs.InferenceTask.lessons(relations=graphs.family_relations())
    assert [task.max_labels for task in lessons].count(2) == 4
    assert lessons[-1].max_labels is None
    assert (lessons[-1].max_nodes, lessons[-1].max_path) == (20, 4)


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"max_labels": 0}, "`max_labels` must be a positive integer"),
        ({"max_labels": 1, "max_degree": 2}, "`max_degree` must be at most.*labels=1"),
        ({"max_degree": 3}, "`max_degree` must be at most the number.* 2 labels"),
        ({"max_labels": 1, "min_path": 3}, "of the first `max_labels` labels"),
    ],
)
def test_numbers_of_labels_that_do_not_fit_are_refused(arguments, match):
    sizes = {"min_degree": 1, "max_degree": 1}
    with pytest.raises(ValueError, match=match):
        graphs.InferenceTask(RELATIONS, **sizes | arguments)


def child_of(tree):
    return next(a for a, _, label in tree.edges(data="label") if label == "mother")


@pytest.mark.parametrize("seed", range(5))
def test_a_family_tree_is_one(seed):
    tree = graphs.family_tree(4, 4, np.random.default_rng(seed))
    graphs.InferenceTask(graphs.family_relations()).ask(
        tree, (child_of(tree), "mother")
    )
    for person in tree:
        edges = {label: b for _, b, label in tree.out_edges(person, data="label")}
        parents = {edges[label] for label in ("mother", "father") if label in edges}
        assert len(parents) in (0, 2)
        for label, other in edges.items():
            child = label.rstrip("12") in ("son", "daughter")
            male = label.rstrip("12") in ("father", "son")
            step = tree.nodes[other]["generation"] - tree.nodes[person]["generation"]
            assert step == (1 if child else -1)
            assert tree.nodes[other]["gender"] == ("male" if male else "female")
            assert tree.has_edge(other, person)
    assert {tree.nodes[person]["generation"] for person in tree} == {0, 1, 2, 3}


def test_a_family_tree_is_drawn_with_a_row_for_each_generation_and_couples_together():
    tree = graphs.family_tree(4, 3, np.random.default_rng(0))
    places = tree.nodes(data="position")
    assert len({place for _, place in places}) == len(tree)
    for person, (_, height) in places:
        assert height == -tree.nodes[person]["generation"]
        couple = [
            places[parent][0]
            for _, parent, label in tree.out_edges(person, data="label")
            if label in ("mother", "father")
        ]
        assert not couple or abs(couple[0] - couple[1]) == 1.0


def test_kin_are_reached_by_their_edges():
    relations = graphs.family_relations()
    tree = graphs.family_tree(5, 3, np.random.default_rng(0))
    follow = {(a, label): b for a, b, label in tree.edges(data="label")}

    def kin(person, relation):
        for label in relations[relation]:
            person = follow.get((person, label))
        return person

    found = 0
    for person, number in itertools.product(tree, (1, 2)):
        sister = kin(person, f"sister{number}")
        aunt = kin(person, f"father's sister{number}")
        if sister is not None:
            mothers = {follow[person, "mother"], follow[sister, "mother"]}
            assert len(mothers) == 1 and tree.nodes[sister]["gender"] == "female"
        if aunt is not None:
            assert aunt == kin(follow[person, "father"], f"sister{number}")
            found += 1
    assert found > 3
    assert {len(path) for path in relations.values()} == {2, 3, 4}


@pytest.mark.parametrize(
    "question, match",
    [
        (("Ann", "cousin"), "a relation of the task. Received.*'cousin'"),
        (("Eve", "uncle"), "nodes of the graph. Received: 'Eve'"),
        (("Beth", "grandmother"), "Received: 'mother' from 'Cleo', which has \\['son'"),
    ],
)
def test_questions_without_an_answer_are_refused(family, question, match):
    with pytest.raises(ValueError, match=match):
        TASK.ask(family, question)


def test_a_graph_with_other_edges_is_refused(family):
    family.add_edge("Dan", "Eve", label="wife")
    with pytest.raises(
        ValueError, match="no other edge labels than.*Received: \\['wife'\\]"
    ):
        TASK.ask(family, ("Ann", "uncle"))


@pytest.mark.parametrize(
    "relations, match",
    [
        ({}, "must be a dict of relations"),
        ([("mother",)], "must be a dict of relations"),
        ({"uncle": ()}, "a sequence of edge labels.*Received: \\(\\) for 'uncle'"),
        ({"uncle": "mother"}, "a sequence of edge labels"),
        ({"son": ("mother", "son")}, "names that no edge has. Received: 'son'"),
        (dict.fromkeys(range(1000), ("mother",)), "at most 1000 relations"),
    ],
)
def test_relations_that_are_none_are_refused(relations, match):
    with pytest.raises(ValueError, match=match):
        graphs.InferenceTask(relations, max_degree=1, min_degree=1)


def test_lengths_without_a_relation_are_refused():
    with pytest.raises(ValueError, match="relations of `min_path` to `max_path`"):
        graphs.InferenceTask(RELATIONS, max_degree=2, min_path=4)


@pytest.mark.parametrize(
    "arguments, match",
    [
        ((1, 2), "`num_generations` must be at least 2"),
        ((3, 5), "`max_children` must be at most 4"),
        ((3, 0), "`max_children` must be a positive integer"),
    ],
)
def test_families_of_impossible_sizes_are_refused(arguments, match, rng):
    with pytest.raises(ValueError, match=match):
        graphs.family_tree(*arguments, rng)


def test_more_edges_than_labels_are_refused(rng):
    with pytest.raises(ValueError, match="at least `max_degree` labels"):
        graphs.random_graph(5, 2, 3, rng, labels=["a", "b"])
    with pytest.raises(ValueError, match="`min_degree` must be at most `max_degree`"):
        graphs.random_graph(5, 3, 2, rng)
