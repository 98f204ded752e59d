"""plots: every picture says what it shows."""

import functools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

import keras_dnc
from keras_dnc.inspect import plots
from keras_dnc.inspect import views
from keras_dnc.inspect.colors import READ_HEADS
from keras_dnc.inspect.colors import WRITE_HEADS
from keras_dnc.inspect.plots import plot_memory_use
from keras_dnc.inspect.trace import Trace
from keras_dnc.inspect.trace import trace
from tests.dnc.cells import random_cell

KINDS = {
    "dnc": lambda rng: random_cell(rng, num_writes=2),
    "dnc-sparse-links": lambda rng: random_cell(rng, link_top_k=3),
    "dnc-content": lambda rng: random_cell(rng, temporal_links=False),
    "sdnc": lambda rng: built(keras_dnc.SDNCCell(3, 8, memory_size=90, num_reads=2)),
    "ntm": lambda rng: built(keras_dnc.NTMCell(3, 8, memory_size=9, num_reads=2)),
    "mann": lambda rng: built(keras_dnc.MANNCell(3, 8, memory_size=9, num_reads=2)),
}
SHOWN = {
    "dnc": {"plot_usage", "plot_read_modes", "plot_links"},
    "dnc-sparse-links": {"plot_usage", "plot_read_modes", "plot_links"},
    "dnc-content": {"plot_usage"},
    "sdnc": {"plot_read_modes", "plot_links"},
    "ntm": set(),
    "mann": {"plot_usage"},
}
ALWAYS = {"plot_write_weights", "plot_read_weights", "plot_gates", "plot_memory"}


def built(cell):
    cell.build((None, 5))
    return cell


@pytest.fixture(scope="module")
def traces():
    """Give a function from a name of `KINDS` to a trace of such a cell."""

    @functools.cache
    def traced(kind):
        rng = np.random.default_rng(7)
        return trace(KINDS[kind](rng), rng.normal(size=(2, 6, 5)))

    return traced


@pytest.fixture
def seen(traces):
    return traces("dnc")


def panels(figure):
    """Axes of the panels of a figure, without its colour bars."""
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def bars(axis):
    """Axes of the colour bars at the right side of a panel."""
    return [bar for bar in axis.child_axes if bar.get_label() == "<colorbar>"]


def shown_in(axis):
    """The values or colours of a panel, from its lowest row on."""
    return np.asarray(axis.images[0].get_array())


def test_the_overview_fits_a_slide_and_labels_every_panel_once(seen):
    figure = plot_memory_use(seen, np.zeros((2, 6, 3)), title="A memory")
    assert figure.get_suptitle() == "A memory"
    assert tuple(figure.get_size_inches()) == (12.8, 7.2)
    assert [axis.get_ylabel() for axis in panels(figure)] == [
        "input\n(channel)",
        "target\n(channel)",
        "output\n(channel)",
        "writes of 2 heads\n(slot)",
        "reads of 2 heads\n(slot)",
        "usage\n(slot)",
        "gates",
    ]
    *others, last = [axis.get_xlabel() for axis in panels(figure)]
    assert last == "step" and not any(others)


def test_every_panel_has_its_colour_bar_next_to_it(seen):
    figure = plot_memory_use(seen, np.zeros((2, 6, 3)))
    figure.canvas.draw()
    named = []
    for axis in panels(figure):
        last = bars(axis)[-1]
        named.append(last.get_ylabel())
        for number, bar in enumerate(bars(axis)):
            panel, place = axis.get_position(), bar.get_position()
            assert place.x0 - panel.x1 < 0.015 * (1 + number)
            assert (place.y0, place.y1) == pytest.approx((panel.y0, panel.y1))
    heads = ["weight of head"] * 2
    assert named == ["value", "value", "probability", *heads, "usage", "openness"]


def test_heads_share_a_panel_side_by_side_each_in_its_colour(seen):
    axis = panels(plot_memory_use(seen))[3]
    slots = views.slots_in_use(seen, 0)
    colours = shown_in(axis)  # (slots, time * heads, 3)
    assert colours.shape == (len(slots), 2 * 6, 3) and len(bars(axis)) == 2
    for read, color in enumerate(READ_HEADS[:2]):
        weights = seen.read_weights[0, :, read, slots]
        expected = 1.0 + weights[..., None] * (np.array(to_rgb(color)) - 1.0)
        np.testing.assert_allclose(colours[:, read::2], expected, atol=0.01)


def test_one_head_is_drawn_in_its_colour_over_the_slots_in_use(traces):
    seen = traces("dnc-content")
    axis = panels(plot_memory_use(seen, sequence=1))[2]
    slots = views.slots_in_use(seen, 1)
    np.testing.assert_array_equal(shown_in(axis), seen.write_weights[1, :, 0, slots])
    assert axis.images[0].cmap(1.0)[:3] == pytest.approx(to_rgb(WRITE_HEADS[0]))
    assert len(bars(axis)) == 1


def test_of_many_heads_the_largest_weight_is_drawn(rng):
    seen = trace(random_cell(rng, num_reads=5), rng.normal(size=(1, 6, 5)))
    slots = views.slots_in_use(seen, 0)
    expected = seen.read_weights[0].max(axis=1)[:, slots].T
    axis = panels(plot_memory_use(seen))[3]
    np.testing.assert_array_equal(shown_in(axis), expected)


def test_colours_are_white_at_zero_and_diverge_where_values_are_signed(seen):
    axes = panels(plot_memory_use(seen))
    for axis, is_signed in ((axes[0], True), (axes[4], False)):
        image = axis.images[0]
        assert image.cmap(image.norm(0.0))[:3] == pytest.approx((1, 1, 1), abs=0.02)
        low, high = image.get_clim()
        assert low == (-high if is_signed else 0.0)


def test_gates_are_a_strip_with_a_row_for_each(seen):
    for axis in (panels(plot_memory_use(seen))[-1], panels(plots.plot_gates(seen))[0]):
        names = [text.get_text() for text in axis.get_yticklabels()][::-1]
        assert names == [
            *("allocation 1", "allocation 2", "free 1", "free 2"),
            *("write 1", "write 2"),
        ]
        np.testing.assert_array_equal(shown_in(axis)[2], seen.free_gate[0, :, 1])


def test_classes_are_named_and_drawn_with_their_probability(seen):
    logits = np.log([[[0.7, 0.25, 0.05]] * 6] * 2)
    names = ["cat", "dog", "owl"]
    axis = panels(plot_memory_use(seen, classes=names, logits=logits))[1]
    labels = [text.get_text() for text in axis.get_yticklabels()]
    assert labels == ["cat", "dog"]  # never 10 %: the owl
    np.testing.assert_allclose(shown_in(axis)[:, 0], [0.7, 0.25])
    with pytest.raises(ValueError, match="`classes` must .*Received: 2 classes"):
        plot_memory_use(seen, classes=names[:2])


def test_padding_lies_behind_a_veil(rng):
    seen = trace(random_cell(rng), rng.normal(size=(1, 6, 5)))
    seen.mask[0, 4:] = False
    for axis in panels(plot_memory_use(seen)):
        veils = [patch for patch in axis.patches if patch.get_alpha() == 0.8]
        # Older versions of matplotlib make another kind of patch.
        to_data = axis.transData.inverted().transform_bbox
        starts = [to_data(veil.get_extents()).x0 for veil in veils]
        assert starts == pytest.approx([3.5, 4.5])


def test_all_plots_have_slot_0_at_the_bottom(seen):
    for plot in (plots.plot_memory, plots.plot_usage, plot_memory_use):
        image = panels(plot(seen))[0].images[0]
        assert image.origin == "lower", plot.__name__


@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_has_its_pictures_and_all_are_labelled(traces, kind):
    seen = traces(kind)
    figures = dict(plots.all_plots(seen, labels=iter("abcdef"), sequence=1))
    assert set(figures) == ALWAYS | SHOWN[kind]
    for name, figure in figures.items():
        assert figure.get_suptitle(), name
        figure.canvas.draw()
        assert panels(figure)[-1].get_xlabel(), name
        assert panels(figure)[0].get_ylabel() or name == "plot_links"
        found = [*(set(figure.axes) - set(panels(figure)))]
        found += [bar for axis in panels(figure) for bar in bars(axis)]
        assert found or name == "plot_read_modes"
        for bar in found:
            assert bar.get_ylabel() in {
                *("weight", "usage", "value", "openness"),
                "weight of the link",
            }


def test_the_token_stands_under_its_step(seen):
    for plot in (plots.plot_write_weights, plots.plot_read_weights, plots.plot_gates):
        axis = panels(plot(seen, labels="abcdef"))[-1]
        names = {t.get_position()[0]: t.get_text() for t in axis.get_xticklabels()}
        assert [names[time] for time in range(6)] == list("abcdef")


def test_one_label_a_step_or_none(seen):
    with pytest.raises(ValueError, match="one label for each step.*6. Received: 2"):
        plots.plot_usage(seen, labels="ab")


def test_what_the_cell_does_not_have_is_refused(traces):
    seen = traces("dnc-content")
    for plot, missing in (
        (plots.plot_links, "link"),
        (plots.plot_read_modes, "read_m"),
    ):
        with pytest.raises(
            ValueError, match=f"`trace` must have .*{missing}.*Received"
        ):
            plot(seen)
    for time in (6, -7):
        with pytest.raises(ValueError, match="0 to 5.*Received"):
            plots.plot_memory(seen, times=[time])


def written_in_turn(*slots, size=5):
    """A trace whose last links say that slots were written one after the other."""
    link = np.zeros((1, 1, 1, size, size))
    for before, after in zip(slots, slots[1:], strict=False):
        link[0, 0, 0, after, before] = 0.8
    return Trace(
        inputs=np.zeros((1, 1, 2)), memory=np.zeros((1, 1, size, 3)), link=link
    )


def test_an_arrow_goes_from_what_was_written_to_what_came_next():
    figure = plots.plot_links(written_in_turn(3, 0, 2))
    axis = panels(figure)[0]
    place = {text.get_text(): text.get_position() for text in axis.texts}
    assert set(place) == {"3", "0", "2"}
    nodes = {tuple(np.round(where, 3)): name for name, where in place.items()}
    arrows = [
        [nodes[tuple(np.round(end, 3))] for end in patch._posA_posB]
        for patch in axis.patches
    ]
    assert sorted(arrows) == [["0", "2"], ["3", "0"]]


def test_read_modes_are_shares_of_one(seen):
    bars = panels(plots.plot_read_modes(seen))[1].patches
    heights = np.reshape([bar.get_height() for bar in bars], (-1, 6))
    np.testing.assert_allclose(heights.T, seen.read_mode[0, :, 1], rtol=1e-6)
    np.testing.assert_allclose(heights.sum(axis=0), 1.0, rtol=1e-5)


def test_of_a_large_memory_the_slots_in_use_are_drawn(traces):
    seen = traces("sdnc")
    for plot, weights in (
        (plots.plot_write_weights, seen.write_weights),
        (plots.plot_read_weights, seen.read_weights[:, :, :1]),
    ):
        image = shown_in(panels(plot(seen))[0])
        slots = views.slots_in_use(seen, 0)
        assert image.shape == (len(slots), 6) and 0 < len(slots) <= 64
        assert np.sum(image) > 0.9 * np.sum(weights[0])


@pytest.mark.parametrize("name,heads", [("link", (2,)), ("backward", ())])
def test_sparse_links_are_those_of_the_lists(rng, name, heads):
    shape = (2, 5, *heads, 7, 3)  # sequences, steps, slots, links kept of each
    lists = rng.integers(0, 7, shape).astype("float32"), rng.random(shape)
    kept = dict(zip((f"{name}_slots", f"{name}_weights"), lists, strict=True))
    seen = Trace(inputs=np.zeros((2, 5, 1)), memory=np.zeros((2, 5, 7, 4)), **kept)
    expected = np.zeros((7, 7))
    before, weights = (array[1, 4].reshape(-1, 7, 3)[-1] for array in lists)
    for after, place in np.ndindex(7, 3):
        expected[after, int(before[after, place])] += weights[after, place]
    some = np.array([0, 2, 3])
    found = views.links(seen, sequence=1, time=4, slots=some)
    assert len(found) == (heads or (1,))[0]
    np.testing.assert_allclose(found[-1], expected[np.ix_(some, some)])


@pytest.mark.parametrize("kind", ["dnc", "dnc-sparse-links", "sdnc"])
@pytest.mark.parametrize("sequence", [2, -1])
def test_a_sequence_that_is_not_there_is_refused(traces, kind, sequence):
    seen = traces(kind)
    for plot in (plots.plot_links, plots.plot_memory, plots.plot_gates):
        with pytest.raises(ValueError, match="`sequence` must be .* 0 to 1.*Received"):
            plot(seen, sequence=sequence)
