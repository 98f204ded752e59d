"""graph_reasoning: the routes, and the edges that heads read."""

import networkx
import numpy as np
import pytest
from matplotlib.colors import to_hex

import keras_dnc
from keras_dnc.inspect import views
from keras_dnc.inspect.graph_reasoning import animate_graph_reasoning
from keras_dnc.inspect.graph_reasoning import plot_graph_reasoning
from keras_dnc.inspect.trace import Trace
from keras_dnc.inspect.trace import trace
from keras_dnc.tasks.graphs import InferenceTask
from keras_dnc.tasks.graphs import ShortestPathTask
from keras_dnc.tasks.graphs import TraversalTask

SLOTS, HEADS = 6, 2


@pytest.fixture
def graph():
    graph = networkx.MultiDiGraph()
    for a, b, label in [
        ("Bank", "Holborn", "west"),
        ("Holborn", "Bank", "east"),
        ("Holborn", "Green Park", "south"),
        ("Holborn", "Green Park", "bus"),
    ]:
        graph.add_edge(a, b, label=label)
    return graph


def planted(asked, answers, reads):
    """A trace that writes one slot at each step of the description.

    `reads` maps steps to the edge that the first head reads, and how far.
    """
    steps, edges = len(asked.episode.mask), len(asked.edges)
    write, read = np.zeros((1, steps, 1, SLOTS)), np.zeros((1, steps, HEADS, SLOTS))
    write[0, range(edges), 0, range(edges)] = 1.0
    for step, (edge, weight) in reads.items():
        read[0, step, 0, asked.edges.index(edge)] = weight
    output = np.zeros((1, steps, 90))
    output[0, asked.episode.mask > 0] = asked.labels.encode(answers)
    return Trace(
        inputs=asked.episode.inputs[None],
        mask=np.ones((1, steps), bool),
        memory=np.zeros((1, steps, SLOTS, 4)),
        output=output,
        write_weights=write,
        read_weights=read,
    )


@pytest.fixture
def asked(graph):
    return TraversalTask().ask(graph, ("Bank", ["west", "south"]))


def test_a_read_word_was_written_where_its_slot_was_last_written():
    write = np.array([[[1.0, 0]], [[0, 1.0]], [[0.25, 0]], [[0, 0]]])[None]
    read = np.array([[[0, 0]], [[0, 0]], [[0.5, 0.5]], [[0, 0.4]]])[None]
    mask = np.ones((1, 4), bool)
    memory = np.zeros((1, 4, 2, 3))
    seen = Trace(
        inputs=mask, mask=mask, memory=memory, write_weights=write, read_weights=read
    )
    found = views.steps_read(seen, 0)[:, 0]
    np.testing.assert_allclose(found[2], [0.5 * 0.75, 0.5, 0.5 * 0.25, 0.0])
    np.testing.assert_allclose(found[3], [0.0, 0.4, 0.0, 0.0])


def test_the_picture_names_the_edges_that_are_read(graph, asked):
    first, second = asked.answer
    seen = planted(asked, asked.answer, {6: (first, 1.0), 7: (second, 0.5)})
    figure = plot_graph_reasoning(seen, asked, graph)
    left, right = figure.axes
    assert left.get_title(loc="left") == "2 of 2 steps answered rightly"
    assert {text.get_text() for text in left.texts} >= {"Bank", "Holborn", "Green Park"}
    found = [text.get_text() for text in right.texts if text.get_text()]
    assert found == [
        "question: Bank → ? (west)",
        "question: ? → ? (south)",
        "answer 1: Bank → Holborn (west)",
        "1.0  Bank → Holborn (west)",
        "answer 2: Holborn → Green Park (south)",
        "0.5  Holborn → Green Park (south)",
    ]
    shades = right.images[0].get_array()
    assert shades.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0.5, 0]]


def test_wrong_steps_are_counted(graph, asked):
    wrong = [asked.answer[0], ("Holborn", "east", "Bank")]
    figure = plot_graph_reasoning(planted(asked, wrong, {}), asked, graph)
    title = figure.axes[0].get_title(loc="left")
    assert title == "1 of 2 steps answered rightly"


def arrows(figure):
    """How many arrows have each colour and opacity."""
    patches = figure.axes[0].patches
    colors = [to_hex(patch.get_edgecolor(), keep_alpha=True) for patch in patches]
    return {color: colors.count(color) for color in set(colors)}


def test_edges_that_are_read_are_drawn_the_more_opaque_the_further(graph, asked):
    first, second = asked.answer
    reads = {6: (first, 1.0), 7: (second, 0.6)}
    found = arrows(
        plot_graph_reasoning(planted(asked, [first] * 2, reads), asked, graph)
    )
    assert (found["#ddaa33ff"], found["#ddaa3399"]) == (1, 1)


def test_an_answer_that_is_no_edge_is_drawn():
    graph = networkx.DiGraph()
    graph.add_edge("Ann", "Beth", label="mother")
    graph.add_edge("Beth", "Cleo", label="mother")
    task = InferenceTask(
        {"grandmother": ("mother", "mother")}, max_degree=1, min_degree=1
    )
    asked = task.ask(graph, ("Ann", "grandmother"))
    nothing = [("Ann", "grandmother", None)]
    found = arrows(plot_graph_reasoning(planted(asked, asked.answer, {}), asked, graph))
    assert (found["#4477aaff"], found["#ee6677ff"]) == (1, 1)
    found = arrows(plot_graph_reasoning(planted(asked, nothing, {}), asked, graph))
    assert found["#4477aaff"] == 1 and "#ee6677ff" not in found


def test_long_names_are_cut_to_their_cell():
    graph = networkx.DiGraph()
    graph.add_edge("Llanfair" * 9, "Holborn", label="west")
    asked = TraversalTask().ask(graph, ("Llanfair" * 9, ["west"]))
    seen = planted(asked, asked.answer, {2: (asked.answer[0], 1.0)})
    figure = plot_graph_reasoning(seen, asked, graph)
    texts = [text.get_text() for text in figure.axes[1].texts]
    assert texts[0].startswith("question: Llanfair") and texts[0].endswith("…")
    assert max(map(len, texts)) < 70


def test_steps_of_a_plan_are_numbered(graph):
    task = ShortestPathTask(planning_steps=2)
    asked = task.ask(graph, ("Bank", "Green Park"))
    figure = plot_graph_reasoning(planted(asked, asked.answer, {}), asked, graph)
    texts = [text.get_text() for text in figure.axes[1].texts]
    steps = [text.split(":")[0] for text in texts if text]
    assert steps[1:] == ["plan 1", "plan 2", "answer 1", "answer 2"]


def test_nodes_are_drawn_at_their_positions(graph, asked):
    places = {"Bank": (0.0, 1.0), "Holborn": (2.0, 3.0), "Green Park": (5.0, 4.0)}
    networkx.set_node_attributes(graph, places, "position")
    figure = plot_graph_reasoning(planted(asked, asked.answer, {}), asked, graph)
    drawn = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert drawn["Green Park"] == (5.0, 4.0)


def test_an_animation_is_written_as_gif(graph, asked, tmp_path):
    seen = planted(asked, asked.answer, {6: (asked.answer[0], 1.0)})
    animation = animate_graph_reasoning(seen, asked, graph, seconds=0.1)
    animation.save(tmp_path / "reasoning.gif", writer="pillow")
    from PIL import Image

    with Image.open(tmp_path / "reasoning.gif") as picture:
        assert picture.n_frames == 4


@pytest.mark.parametrize("kind", ["DNCCell", "SAMCell", "SDNCCell", "NTMCell"])
def test_every_cell_is_drawn(graph, asked, kind):
    cell = getattr(keras_dnc, kind)(90, 8, memory_size=16, word_size=4, num_reads=2)
    cell.build((None, 92))
    seen = trace(cell, asked.episode.inputs[None])
    assert len(plot_graph_reasoning(seen, asked, graph).axes) == 2


def test_a_shorter_trace_is_refused(graph, asked):
    seen = planted(asked, asked.answer, {})
    longer = TraversalTask().ask(graph, ("Bank", ["west", "east", "west"]))
    with pytest.raises(ValueError, match="must have the 10 steps of `asked`"):
        plot_graph_reasoning(seen, longer, graph)


@pytest.mark.parametrize("draw", [plot_graph_reasoning, animate_graph_reasoning])
def test_another_graph_is_refused(graph, asked, draw):
    graph.remove_node("Green Park")
    with pytest.raises(ValueError, match=r"`graph` must be .*without.*Green Park"):
        draw(planted(asked, asked.answer, {}), asked, graph)
