"""Stories: what goes wrong in the plain DNC, and what each option repairs."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from keras_dnc.dnc.access import AccessControls
from keras_dnc.dnc.addressing import sharpened
from tests.dnc.cells import random_cell
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

SLOTS, WORD = 6, 4
BACKWARD, FORWARD, CONTENT = np.eye(3, dtype="float32")
STRONG = 30.0
SHARPNESS = {"link_sharpness": [[[8.0, 8.0]]]}


def step(write=None, key=None, mode=CONTENT, free=0.0, gate=1.0, **optional):
    """One write by allocation, or none; one read."""
    nothing = np.zeros(WORD)
    values = {
        "write_vectors": [[nothing if write is None else write]],
        "erase_vectors": np.zeros((1, 1, WORD)),
        "free_gate": [[free]],
        "allocation_gate": [[1.0]],
        "write_gate": [[0.0 if write is None else gate]],
        "read_mode": [[mode]],
        "write_keys": [[nothing]],
        "write_strengths": [[0.0]],
        "read_keys": [[nothing if key is None else key]],
        "read_strengths": [[STRONG]],
        **optional,
    }
    tensors = {
        name: ops.convert_to_tensor(np.asarray(value, "float32"))
        for name, value in values.items()
    }
    nothing = dict.fromkeys(AccessControls._fields)
    return AccessControls(**nothing | tensors)


def play(story, kind=keras_dnc.MemoryAccess, **options):
    """Give the words that each step reads, `(steps, word)`, and the last state."""
    access = kind(SLOTS, WORD, num_reads=1, **options)
    state, words = access.get_initial_state(batch_size=1), []
    for controls in story:
        word, state, _ = access.step(controls, state)
        words.append(to_numpy(word)[0, 0])
    return np.stack(words), to_numpy(state)


def test_a_mask_finds_a_word_by_the_half_that_is_known():
    """The other half misleads the plain head: a different word is closer."""
    wanted, other = [1.0, 0.0, 0.0, 3.0], [0.7, 0.7, 0.0, 0.0]
    story = [step(wanted), step(other)]
    key = [1.0, 0.0, 0.0, 0.0]
    masks = {"write_masks": np.ones((1, 1, WORD)), "read_masks": [[[1, 1, 0, 0]]]}
    plain, _ = play([*story, step(key=key)])
    story = [step(word, **masks) for word in (wanted, other)]
    masked, _ = play([*story, step(key=key, **masks)], masked_content=True)
    assert_close(plain[-1], other, 0.01)
    assert_close(masked[-1], wanted, 0.01)


def test_a_freed_slot_still_answers_unless_it_is_deallocated():
    word = np.array([1.0, 0.0, 2.0, 0.0])
    story = [step(word), step(key=word), step(key=word, free=1.0), step(key=word)]
    kept, _ = play(story)
    wiped, state = play(story, deallocate=True)
    assert_close(kept[-1], word, 1e-3)
    assert np.max(np.abs(wiped[-1])) < 1e-3
    assert np.max(np.abs(state.memory)) < 1e-3


def test_blurred_links_are_followed_to_the_end_only_when_sharpened():
    """Half-open write gates blur each link; after four, the way is lost."""
    words = 4.0 * np.eye(WORD)
    writes = [step(word, gate=0.8) for word in words]
    look = [step(key=words[0]), *(step(mode=FORWARD) for _ in range(3))]
    plain, _ = play(writes + look)
    writes = [step(word, gate=0.8, **SHARPNESS) for word in words]
    look = [step(key=words[0], **SHARPNESS)]
    look += [step(mode=FORWARD, **SHARPNESS) for _ in range(3)]
    sharp, _ = play(writes + look, link_sharpness=True)

    def certainty(read):
        """How much of what is read is the right word, beside all others."""
        return read[-1][3] / max(np.sum(np.abs(read[-1])), 1e-9)

    assert np.argmax(sharp[-1]) == 3
    assert certainty(sharp) > 0.95
    assert sharp[-1][3] > 2.0 * plain[-1][3]


def test_sharpening_divides_by_the_sum_of_powers():
    weights = np.array([[0.2, 0.6, 0.0]], "float32")
    sharpness = np.array([0.5], "float32")
    power = 1.0 + np.log1p(np.exp(0.5))
    expected = (weights + 1e-6) ** power
    found = sharpened(ops.convert_to_tensor(weights), ops.convert_to_tensor(sharpness))
    assert_close(to_numpy(found), expected / expected.sum(), 1e-4)


@pytest.mark.parametrize("weights", [np.zeros(5), np.full(5, -1e-7), np.eye(5)[2]])
def test_sharpening_is_finite_where_no_link_is(weights):
    variable = keras.Variable(weights[None], dtype="float32")
    sharpness = ops.convert_to_tensor(np.array([9.0], "float32"))
    value, (gradient,) = value_and_gradients(
        lambda: ops.sum(ops.square(sharpened(1.0 * variable.value, sharpness))),
        [variable],
    )
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


def test_a_huge_controller_output_leaves_normalised_gates_open():
    """Plain gates saturate, and their gradients vanish; normalised ones stay apart."""

    def gates(normalize):
        access = keras_dnc.MemoryAccess(SLOTS, WORD, normalize=normalize)
        access.build((None, 8))
        outputs = 1e3 * np.random.default_rng(0).normal(size=(32, 8))
        controls = access.controls(ops.convert_to_tensor(outputs.astype("float32")))
        return to_numpy(controls.erase_vectors)

    def saturated(gates):
        return np.mean(np.minimum(gates, 1.0 - gates) < 1e-3)

    assert saturated(gates(normalize=False)) > 0.9
    assert saturated(gates(normalize=True)) < 0.05


def test_without_links_reading_goes_by_content_alone():
    words = np.eye(WORD)
    story = [_without_mode(step(word)) for word in words]
    story += [_without_mode(step(key=words[2]))]
    read, state = play(story, keras_dnc.ContentAccess)
    assert_close(read[-1], words[2], 1e-3)
    assert state._fields == ("memory", "usage", "read_weights", "write_weights")


def _without_mode(controls):
    return controls._replace(read_mode=None)


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
    inputs = np.ones((1, 6, 5), "float32")
    zero = [np.zeros(v.shape, "float32") for v in cell.trainable_variables]
    for variable, value in zip(cell.trainable_variables, zero, strict=True):
        variable.assign(value)
    cell.controller.bias.assign(np.full(32, 5.0, "float32"))  # h close to 1
    kernel = np.zeros(cell.output_linear.kernel.shape, "float32")
    kernel[:3] = np.eye(3)
    cell.output_linear.kernel.assign(kernel)
    layer = keras.layers.RNN(cell, return_sequences=True)
    dropped = to_numpy(layer(inputs, training=True))[0] == 0.0
    assert np.all(dropped == dropped[:1])


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
            {"temporal_links": False, "link_sparsity": 4},
            "`link_sparsity` needs temporal links",
        ),
    ],
)
def test_bad_options_are_refused(options, rule):
    with pytest.raises(ValueError, match=rule):
        keras_dnc.DNCCell(3, **options)
