"""plots: every picture says what it shows."""

import numpy as np
import pytest

from keras_dnc.inspect.plots import plot_memory_use
from keras_dnc.inspect.trace import trace
from tests.dnc.cells import random_cell


@pytest.fixture
def seen(rng):
    return trace(random_cell(rng, num_writes=2), rng.normal(size=(2, 6, 5)))


def panels(figure):
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def test_every_axis_is_labelled_and_every_panel_titled(seen):
    figure = plot_memory_use(seen, np.zeros((2, 6, 3)), title="A memory")
    assert figure.get_suptitle() == "A memory"
    for axis in panels(figure):
        assert axis.get_ylabel()
        assert axis.get_title(loc="left")
        assert axis.get_xlabel() == "time (steps)"
    bars = [axis for axis in figure.axes if axis.get_label() == "<colorbar>"]
    named = {bar.get_ylabel() for bar in bars}
    assert named == {"value", "probability", "weight", "usage"}


def test_there_is_a_panel_for_each_head(seen):
    titles = [axis.get_title(loc="left") for axis in panels(plot_memory_use(seen))]
    assert titles == [
        "input",
        "output",
        "where head 1 of 2 writes",
        "where head 2 of 2 writes",
        "where head 1 of 2 reads",
        "where head 2 of 2 reads",
        "usage of each slot",
        "gates",
    ]


def test_a_panel_shows_the_numbers_of_its_sequence(seen):
    figure = plot_memory_use(seen, sequence=1)
    image = panels(figure)[2].images[0].get_array()
    np.testing.assert_array_equal(image, seen.write_weights[1, :, 0].T)


def test_every_gate_has_a_line(seen):
    gates = panels(plot_memory_use(seen))[-1]
    names = [text.get_text() for text in gates.get_legend().get_texts()]
    assert names == [
        "write gate 1",
        "write gate 2",
        "allocation gate 1",
        "allocation gate 2",
        "free gate 1",
        "free gate 2",
    ]
    free_gate = gates.get_lines()[-1].get_ydata()
    np.testing.assert_array_equal(free_gate, seen.free_gate[0, :, 1])
