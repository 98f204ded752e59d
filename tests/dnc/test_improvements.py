"""Stories: what goes wrong in the plain DNC, and what each option repairs."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from keras_dnc.dnc.addressing import sharpen_directions
from tests.dnc.cells import random_cell
from tests.dnc.stories import FORWARD
from tests.dnc.stories import SLOTS
from tests.dnc.stories import WORD
from tests.dnc.stories import controls
from tests.dnc.stories import play
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

SHARPNESS = {"link_sharpness": [[[8.0, 8.0]]]}


def access(**options):
    return keras_dnc.MemoryAccess(SLOTS, WORD, num_reads=1, **options)


def test_a_mask_finds_a_word_by_the_half_that_is_known():
    """The other half misleads the plain head: a different word is closer."""
    wanted, other = [1.0, 0.0, 0.0, 3.0], [0.7, 0.7, 0.0, 0.0]
    key = [1.0, 0.0, 0.0, 0.0]
    masks = {"write_masks": np.ones((1, 1, WORD)), "read_masks": [[[1, 1, 0, 0]]]}
    story = {"write": wanted}, {"write": other}, {"read_key": key}
    plain, _ = play(access(), [controls(**step) for step in story])
    masked, _ = play(
        access(masked_content=True), [controls(**step, **masks) for step in story]
    )
    assert_close(plain[-1], other, 0.01)
    assert_close(masked[-1], wanted, 0.01)


def test_a_freed_slot_still_answers_unless_it_is_deallocated():
    word = np.array([1.0, 0.0, 2.0, 0.0])
    story = [controls(word), controls(read_key=word)]
    story += [controls(read_key=word, free=1.0), controls(read_key=word)]
    kept, _ = play(access(), story)
    wiped, state = play(access(deallocate=True), story)
    assert_close(kept[-1], word, 1e-3)
    assert np.max(np.abs(wiped[-1])) < 1e-3
    assert np.max(np.abs(state.memory)) < 1e-3


def test_blurred_links_are_followed_to_the_end_only_when_sharpened():
    """Half-open write gates blur each link; after three, the way is lost."""
    words = 4.0 * np.eye(WORD)
    story = [{"write": word, "gate": 0.8, "erase": 0.0} for word in words]
    story += [{"read_key": words[0]}, *[{"mode": FORWARD}] * 3]
    blurred, _ = play(access(), [controls(**step) for step in story])
    sharp, _ = play(
        access(link_sharpness=True), [controls(**step, **SHARPNESS) for step in story]
    )
    share = sharp[-1] / np.sum(sharp[-1])
    assert share[3] > 0.95
    assert sharp[-1][3] > 2.0 * blurred[-1][3]


def test_sharpening_divides_by_the_sum_of_powers():
    weights = np.array([[0.2, 0.6, 0.0]], "float32")
    sharpness = np.array([0.5], "float32")
    power = 1.0 + np.log1p(np.exp(0.5))
    expected = (weights + 1e-6) ** power
    found = sharpen_directions(
        ops.convert_to_tensor(weights), ops.convert_to_tensor(sharpness)
    )
    assert_close(to_numpy(found), expected / expected.sum(), 1e-4)


@pytest.mark.parametrize("weights", [np.zeros(5), np.full(5, -1e-7), np.eye(5)[2]])
def test_sharpening_is_finite_where_no_link_is(weights):
    variable = keras.Variable(weights[None], dtype="float32")
    sharpness = ops.convert_to_tensor(np.array([9.0], "float32"))
    value, (gradient,) = value_and_gradients(
        lambda: ops.sum(
            ops.square(sharpen_directions(1.0 * variable.value, sharpness))
        ),
        [variable],
    )
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


def test_a_huge_controller_output_leaves_normalised_gates_open():
    """Plain gates saturate, and their gradients vanish; normalised ones stay apart."""

    def gates(normalize):
        layer = access(normalize=normalize)
        layer.build((None, 8))
        outputs = 1e3 * np.random.default_rng(0).normal(size=(32, 8))
        found = layer.controls(ops.convert_to_tensor(outputs.astype("float32")))
        return to_numpy(found.erase_vectors)

    def saturated(gates):
        return np.mean(np.minimum(gates, 1.0 - gates) < 1e-3)

    assert saturated(gates(normalize=False)) > 0.9
    assert saturated(gates(normalize=True)) < 0.05


@pytest.mark.parametrize("options", [{}, {"link_top_k": 3}], ids=["all", "sparse"])
def test_directions_are_read_in_the_order_of_read_mode(rng, options):
    """Two write heads, three read heads: no two axes have one size."""
    layer = keras_dnc.MemoryAccess(7, WORD, num_reads=3, num_writes=2, **options)
    linkage = layer.linkage
    state = layer.get_initial_state(batch_size=5)
    links = keras_dnc.TemporalLinkageState(state.link, state.precedence_weights)

    def heads(count):
        rows = rng.random((5, count, 7)) ** 4
        rows = 0.9 * rows / rows.sum(-1, keepdims=True)
        return ops.convert_to_tensor(rows.astype("float32"))

    for _ in range(4):
        links = linkage(heads(2), links)
    reads = heads(3)
    forward, backward = linkage.directional_read_weights(links.link, reads)
    for column, weights in enumerate([backward[:, :, 0], backward[:, :, 1]]):
        mode = np.zeros((5, 3, 4), "float32")
        mode[:, :, column] = 1.0
        found = linkage.follow(links.link, reads, ops.convert_to_tensor(mode))
        assert_close(to_numpy(found), to_numpy(weights))
    mixed = ops.convert_to_tensor(rng.random((5, 3, 4)).astype("float32"))
    found = to_numpy(linkage.follow(links.link, reads, mixed))
    each = np.concatenate(to_numpy([backward, forward]), axis=2)
    assert_close(found, np.sum(to_numpy(mixed)[..., None] * each, axis=2))


def test_without_links_the_state_grows_as_the_memory_does():
    def size(temporal_links, slots):
        cell = keras_dnc.DNCCell(
            3, 8, memory_size=slots, word_size=4, temporal_links=temporal_links
        )
        return sum(cell.state_size)

    growth = {links: size(links, 800) / size(links, 200) for links in (True, False)}
    assert growth[True] > 12.0
    assert growth[False] < 4.1


def test_without_links_reading_goes_by_content_alone():
    words = np.eye(WORD)
    story = [*map(controls, words), controls(read_key=words[2])]
    content = keras_dnc.ContentAccess(SLOTS, WORD, num_reads=1)
    read, state = play(content, [step._replace(read_mode=None) for step in story])
    assert_close(read[-1], words[2], 1e-3)
    assert state._fields == ("memory", "usage", "read_weights", "write_weights")


def test_bypass_dropout_hides_the_controller_and_never_what_was_read(rng):
    """With memory's part of the output alone, dropout changes nothing."""
    cell = random_cell(rng, bypass_dropout=0.5)
    inputs = rng.normal(size=(4, 6, 5)).astype("float32")
    layer = keras.layers.RNN(cell, return_sequences=True)

    def largest_difference():
        quiet, noisy = (to_numpy(layer(inputs, training=t)) for t in (False, True))
        return np.max(np.abs(quiet - noisy))

    assert largest_difference() > 1e-3
    kernel = to_numpy(cell.output_linear.kernel)
    kernel[:8] = 0.0
    cell.output_linear.kernel.assign(kernel)
    assert largest_difference() < 1e-6


def test_the_same_numbers_are_dropped_at_every_step(rng):
    cell = random_cell(rng, bypass_dropout=0.5)
    inputs = rng.normal(size=(64, 6, 5)).astype("float32")
    kernel = np.zeros(cell.output_linear.kernel.shape, "float32")
    kernel[:3] = np.eye(3)
    cell.output_linear.set_weights([kernel, np.zeros(3, "float32")])
    layer = keras.layers.RNN(cell, return_sequences=True)
    quiet, noisy = (to_numpy(layer(inputs, training=t)) for t in (False, True))
    dropped = noisy == 0.0
    assert 0.35 < np.mean(dropped[:, 0]) < 0.65
    assert np.all(dropped == dropped[:, :1])
    assert_close(noisy[~dropped], 2.0 * quiet[~dropped])


def test_what_bypasses_the_memory_is_the_equation_with_its_mask(rng):
    """y = W [d * nu; r], the mask d planted."""
    cell = random_cell(rng, bypass_dropout=0.5)
    mask = np.array([[0.0, 2.0, 2.0, 0.0, 2.0, 0.0, 0.0, 2.0]], "float32")
    inputs = ops.convert_to_tensor(rng.normal(size=(1, 5)).astype("float32"))
    state = cell.unflatten(cell.get_initial_state(batch_size=1))
    plain = to_numpy(cell.step(inputs, state).state)
    kernel, bias = (to_numpy(w) for w in cell.output_linear.weights)
    features = [plain.controller[0] * mask, plain.read_words.reshape(1, -1)]
    expected = np.concatenate(features, axis=1) @ kernel + bias
    cell.bypass._dropout_mask = ops.convert_to_tensor(mask)
    output, _ = cell(inputs, cell.flatten(state), training=True)
    assert_close(to_numpy(output), expected)


@pytest.mark.parametrize(
    "options,rule",
    [
        ({"masked_content": 1}, "`masked_content` must be one of"),
        ({"mask_floor": 0.1}, "`mask_floor` needs `masked_content=True`"),
        ({"masked_content": True, "mask_floor": 1.0}, "`mask_floor` must be at least"),
        ({"deallocate": "yes"}, "`deallocate` must be one of"),
        ({"link_sharpness": None}, "`link_sharpness` must be one of"),
        ({"normalize": 2}, "`normalize` must be one of"),
        ({"bypass_dropout": 1.0}, "`bypass_dropout` must be at least 0 and below 1"),
        ({"bypass_dropout": -0.1}, "`bypass_dropout` must be at least 0 and below 1"),
        ({"temporal_links": None}, "`temporal_links` must be one of"),
        (
            {"temporal_links": False, "link_sharpness": True},
            "`link_sharpness` needs temporal links",
        ),
        (
            {"temporal_links": False, "link_top_k": 4},
            "`link_top_k` needs temporal links",
        ),
    ],
)
def test_bad_options_are_refused(options, rule):
    with pytest.raises(ValueError, match=rule):
        keras_dnc.DNCCell(3, **options)
