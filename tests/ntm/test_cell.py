"""The Neural Turing Machine: its equations, stories of its heads, what it refuses."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from keras_dnc.ntm.addressing import sharpen
from keras_dnc.ntm.addressing import shift
from tests.conformance.harness import random_inputs
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients

SIZES = {"memory_size": 7, "word_size": 4, "num_reads": 2, "num_writes": 3}


def random_access(rng, **arguments):
    access = keras_dnc.NTMAccess(**{**SIZES, **arguments})
    access.build((None, 6))
    for variable in access.interface.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return access


def random_ntm(rng):
    cell = keras_dnc.NTMCell(3, 8, **SIZES, initial_memory="learned")
    cell.build((None, 5))
    for variable in cell.trainable_variables:
        variable.assign(rng.normal(0.0, 0.5, variable.shape))
    return cell


class Oracle:
    """One head and one memory in float64, written from eq. 2-9 of the paper."""

    @staticmethod
    def softplus(x):
        return np.log1p(np.exp(x))

    def look(self, memory, weights, key, strength, gate, shifts, sharpness):
        rows, norm = (np.linalg.norm(v, axis=-1) for v in (memory, key))
        cosine = memory @ key / (rows * norm + 1e-8)  # eq. 6, Collier and Beel's guard
        scores = np.exp(self.softplus(strength) * cosine)
        content = scores / scores.sum()  # eq. 5
        gated = gate * content + (1 - gate) * weights  # eq. 7
        slots, reach = len(memory), len(shifts) // 2
        moved = np.zeros(slots)
        for i in range(slots):
            for s, weight in zip(range(-reach, reach + 1), shifts, strict=True):
                moved[i] += weight * gated[(i - s) % slots]  # eq. 8
        powers = moved ** (1 + self.softplus(sharpness))
        return powers / powers.sum()  # eq. 9

    def write(self, memory, weights, erase, add):
        kept = np.ones_like(memory)
        for head, vector in zip(weights, erase, strict=True):
            kept *= 1 - np.outer(head, vector)  # eq. 3
        return memory * kept + weights.T @ add  # eq. 4


def run_oracle(controls, state, sample):
    """Take one step of one sample; give memory, read and write weights, words."""
    oracle = Oracle()

    def heads(verb, memory, before):
        asked = [control[sample] for control in controls.of(verb)]
        return np.stack(
            [
                oracle.look(memory, weights, *(control[head] for control in asked))
                for head, weights in enumerate(before)
            ]
        )

    memory, reads, writes = (np.array(part[sample], "float64") for part in state)
    writes = heads("write", memory, writes)
    erase, add = controls.erase_vectors[sample], controls.write_vectors[sample]
    memory = oracle.write(memory, writes, erase, add)
    reads = heads("read", memory, reads)
    return memory, reads, writes, reads @ memory


@pytest.mark.parametrize("shift_range", [0, 1, 4])  # 4: more shifts than slots
def test_a_step_equals_the_equations(rng, shift_range):
    access = random_access(rng, shift_range=shift_range)
    state = access.get_initial_state(batch_size=3)
    for _ in range(6):
        controls = access.controls(rng.normal(size=(3, 6)).astype("float32"))
        words, new, _ = access.step(controls, state)
        before = to_numpy(state)
        asked = type(controls)(*(to_numpy(c).astype("float64") for c in controls))
        for sample in range(3):
            expected = run_oracle(asked, before, sample)
            found = [part[sample] for part in to_numpy([*new, words])]
            for one, other in zip(found, expected, strict=True):
                assert_close(one, other)
        state = new


@pytest.mark.only("tensorflow")  # JAX needs a switch of the process, PyTorch has none
def test_a_step_in_float64_equals_the_equations_to_the_last_digits(rng):
    access = random_access(rng, dtype="float64")
    state = access.get_initial_state(batch_size=3)
    controls = access.controls(rng.normal(size=(3, 6)))
    words, new, _ = access.step(controls, state)
    asked = type(controls)(*map(to_numpy, controls))
    found = [part[1] for part in to_numpy([*new, words])]
    expected = run_oracle(asked, to_numpy(state), 1)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, 1e-10, guard=1e-14)


def test_its_heads_start_where_the_biases_say():
    biases = {"read_interpolation_gate": 2.0, "write_shift_weights": [0.0, 3.0, 0.0]}
    access = keras_dnc.NTMAccess(num_reads=2, control_biases=biases)
    controls = access.controls(np.zeros((3, 6), "float32"))
    gate = to_numpy(controls.read_interpolation_gate)
    shifts = to_numpy(controls.write_shift_weights)
    assert_close(gate, np.full((3, 2), 1.0 / (1.0 + np.exp(-2.0))))
    assert_close(shifts[:, 0, 1], np.full(3, np.exp(3.0) / (np.exp(3.0) + 2.0)))


def test_a_head_that_only_moves_on_walks_through_the_memory_and_round():
    addressing = keras_dnc.NTMAddressing()
    weights = ops.one_hot([[0]], 5)
    controls = keras_dnc.HeadControls(
        keys=ops.ones((1, 1, 4)),
        strengths=ops.zeros((1, 1)),
        interpolation_gate=ops.zeros((1, 1)),
        shift_weights=ops.convert_to_tensor([[[0.0, 0.0, 1.0]]]),
        sharpness=ops.zeros((1, 1)),
    )
    for step in range(1, 12):
        weights = addressing(ops.zeros((1, 5, 4)), controls, weights)
        assert_close(to_numpy(weights)[0, 0], np.eye(5)[step % 5])


def test_a_head_finds_what_was_written_and_goes_one_slot_back():
    memory = np.zeros((1, 6, 3), "float32")
    memory[0, 4] = [1.0, -1.0, 0.5]
    controls = keras_dnc.HeadControls(
        keys=memory[:, 4:5],
        strengths=np.full((1, 1), 100.0, "float32"),
        interpolation_gate=np.ones((1, 1), "float32"),
        shift_weights=np.array([[[1.0, 0.0, 0.0]]], "float32"),
        sharpness=np.zeros((1, 1), "float32"),
    )
    weights = keras_dnc.NTMAddressing()(memory, controls, np.ones((1, 1, 6)) / 6)
    assert_close(to_numpy(weights)[0, 0], np.eye(6)[3])


def test_a_fresh_row_is_as_similar_to_a_key_as_its_direction_says(rng):
    """Collier and Beel's own program gives the same weights, 0.17 at the match."""
    memory = np.full((1, 128, 20), 1e-6)
    memory[0, :20] = np.tanh(rng.normal(size=(20, 20)))
    key = memory[0, 7]
    cosine = memory[0] @ key / (np.linalg.norm(memory[0], axis=1) * np.linalg.norm(key))
    assert abs(cosine[100]) > 0.1
    expected = np.exp(5.0 * cosine) / np.sum(np.exp(5.0 * cosine))
    controls = keras_dnc.HeadControls(
        keys=key[None, None],
        strengths=np.full((1, 1), np.log(np.expm1(5.0))),
        interpolation_gate=np.ones((1, 1)),
        shift_weights=np.ones((1, 1, 1)),
        sharpness=np.full((1, 1), -100.0),  # a power of 1
    )
    controls = type(controls)(*(c.astype("float32") for c in controls))
    weights = keras_dnc.NTMAddressing()(
        memory.astype("float32"), controls, np.zeros((1, 1, 128), "float32")
    )
    assert_close(to_numpy(weights)[0, 0], expected, 2e-3)  # 1e-8 is 0.1 % of the norms


def test_a_config_of_version_0_1_keeps_its_guards():
    for layer in (
        keras_dnc.NTMCell(3),
        keras_dnc.NTMAccess(),
        keras_dnc.NTMAddressing(),
    ):
        config = layer.get_config()
        assert config.pop("cosine_guards") == [1e-24, 1e-8]
        old = type(layer).from_config(config)
        assert old.get_config()["cosine_guards"] == [1e-6, 1e-6]


@pytest.mark.parametrize("guards", [1e-6, (1e-6,), (0.0, 1e-8), (1e-6, "a"), None])
def test_guards_that_are_not_two_positive_numbers_are_refused(guards):
    with pytest.raises(ValueError, match="Argument `cosine_guards` must be two"):
        keras_dnc.NTMCell(3, cosine_guards=guards)


def test_a_shift_between_two_slots_blurs_and_sharpness_takes_the_blur_away():
    weights = ops.one_hot([[2]], 6)
    blurred = shift(weights, ops.convert_to_tensor([[[0.0, 0.7, 0.3]]]))
    assert_close(to_numpy(blurred)[0, 0], [0, 0, 0.7, 0.3, 0, 0])
    sharp = to_numpy(sharpen(blurred, ops.full((1, 1), 20.0)))[0, 0]
    assert sharp[2] > 0.999999


@pytest.mark.parametrize("sharpness", [1.0, 1e6])
def test_sharpening_gives_weights_and_gradients_that_are_numbers(sharpness):
    weights = keras.Variable([[[1.0, 0.0, 0.0], [1 / 3] * 3, [0.0, 0.0, 0.0]]])
    power = keras.Variable(np.full((1, 3), sharpness, "float32"))

    def loss():
        return ops.sum(ops.square(sharpen(weights.value, power.value)))

    _, gradients = value_and_gradients(loss, [weights, power])
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
    sums = np.sum(to_numpy(sharpen(weights.value, power.value)), axis=-1)
    assert_close(sums, np.ones((1, 3)))


def test_a_sequence_starts_with_heads_on_slot_0_and_learned_words(rng):
    cell = keras_dnc.NTMCell(3, controller=8, initial_memory="learned", **SIZES)
    cell.build((None, 5))
    words = rng.normal(size=(2, 4)).astype("float32")
    cell.fresh_read_words.assign(words)
    states = cell.get_initial_state(batch_size=3)
    assert all(np.all(to_numpy(state) == 0.0) for state in states)
    state = to_numpy(cell.unflatten(states))
    for sample in range(3):
        assert_close(state.read_words[sample], words)
        assert_close(state.access.memory[sample], to_numpy(cell.access.fresh_memory))
        assert_close(state.access.read_weights[sample], np.eye(7)[[0, 0]])
        assert_close(state.access.write_weights[sample], np.eye(7)[[0, 0, 0]])


def test_states_at_the_border_are_the_real_values(rng):
    cell = random_ntm(rng)
    layer = keras.layers.RNN(cell, return_state=True)
    _, *states = layer(rng.normal(size=(2, 4, 5)).astype("float32"))
    named = cell.unflatten(states)
    for leaf, state in zip(keras.tree.flatten(named), states, strict=True):
        assert_close(np.reshape(to_numpy(leaf), state.shape), to_numpy(state))
    for weights in (named.access.read_weights, named.access.write_weights):
        assert_close(np.sum(to_numpy(weights), axis=-1), np.ones(weights.shape[:2]))


@pytest.mark.parametrize("kind", [keras.layers.RNN, keras_dnc.MemoryRNN])
def test_one_batch_element_starts_while_another_goes_on(rng, kind):
    layer = kind(random_ntm(rng), return_sequences=True, return_state=True)
    inputs = rng.normal(size=(2, 6, 5)).astype("float32")
    whole, *_ = layer(inputs)
    _, *states = layer(inputs[:, :2])
    fresh = [np.array(to_numpy(state)) for state in states]
    for state in fresh:
        state[0] = 0.0  # as `RNN.reset_state` leaves it
    both = np.stack([inputs[0, :4], inputs[1, 2:]])
    found, *_ = layer(both, initial_state=[ops.convert_to_tensor(s) for s in fresh])
    assert_close(to_numpy(found)[0], to_numpy(whole)[0, :4])
    assert_close(to_numpy(found)[1], to_numpy(whole)[1, 2:])


def test_a_constant_memory_starts_at_a_millionth():
    state = keras_dnc.NTMAccess(memory_size=5, word_size=3)
    state.build((None, 4))
    memory = to_numpy(state.get_initial_state(batch_size=2).memory)
    np.testing.assert_array_equal(memory, np.full((2, 5, 3), 1e-6, "float32"))


@pytest.mark.parametrize("initial_memory", ["constant", "random", "learned"])
def test_what_is_learned_of_a_start_has_a_gradient(rng, initial_memory):
    cell = keras_dnc.NTMCell(3, 8, initial_memory=initial_memory, **SIZES)
    layer, inputs = keras_dnc.MemoryRNN(cell), random_inputs(rng)
    layer(inputs)
    assert ("fresh_memory" in {v.name for v in cell.trainable_variables}) == (
        initial_memory == "learned"
    )
    learned = [v for v in cell.trainable_variables if v.name.startswith("fresh")]
    _, gradients = value_and_gradients(
        lambda: ops.sum(ops.square(layer(inputs, training=True))), learned
    )
    assert all(np.max(np.abs(gradient)) > 0.0 for gradient in gradients)


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_any_input_gives_finite_values_and_gradients(rng, scale):
    cell = keras_dnc.NTMCell(3, 8, **SIZES)
    layer = keras.layers.RNN(cell, return_sequences=True)
    inputs = ops.convert_to_tensor(scale * random_inputs(rng))
    layer(inputs)
    for variable in cell.access.interface.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    value, gradients = value_and_gradients(
        lambda: ops.mean(ops.square(layer(inputs))), cell.trainable_variables
    )
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_a_larger_memory_takes_the_same_weights_unless_it_is_learned(rng):
    def model(initial_memory):
        cell = keras_dnc.NTMCell(3, 8, initial_memory=initial_memory, **SIZES)
        inputs = keras.Input((None, 5))
        return keras.Model(inputs, keras.layers.RNN(cell)(inputs))

    assert keras_dnc.resize_memory(model("constant"), 9).layers[1].cell.memory_size == 9
    for initial_memory in ("learned", "random"):
        with pytest.raises(ValueError, match="initial memories"):
            keras_dnc.resize_memory(model(initial_memory), 9)


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"shift_range": -1}, "`shift_range` must be an integer of at least 0"),
        ({"shift_range": 1.0}, "`shift_range` must be an integer of at least 0"),
        ({"shift_range": True}, "`shift_range` must be an integer of at least 0"),
        ({"initial_memory": "zeros"}, "`initial_memory` must be one of"),
        ({"num_writes": 0}, "`num_writes` must be a positive integer"),
        ({"strength": "relu"}, "`strength` must be one of"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_dnc.NTMCell(3, **arguments)


def test_a_cell_without_weights_has_no_fresh_state():
    cell = keras_dnc.NTMCell(3, 8, **SIZES)
    with pytest.raises(ValueError, match="must be built"):
        cell.unflatten(cell.get_initial_state(batch_size=2))


@pytest.mark.parametrize(
    "name,shape",
    [
        ("interpolation_gate", (2, 1)),
        ("sharpness", (2, 3)),
        ("shift_weights", (2, 2, 2)),
        ("previous_weights", (2, 2, 4)),
    ],
)
def test_addressing_refuses_a_wrong_shape_by_its_name(name, shape):
    shapes = {
        "keys": (2, 2, 3),
        "strengths": (2, 2),
        "interpolation_gate": (2, 2),
        "shift_weights": (2, 2, 3),
        "sharpness": (2, 2),
        "previous_weights": (2, 2, 5),
    }
    tensors = {n: np.ones(s, "float32") for n, s in {**shapes, name: shape}.items()}
    previous = tensors.pop("previous_weights")
    controls = keras_dnc.HeadControls(**tensors)
    with pytest.raises(ValueError, match=name):
        keras_dnc.NTMAddressing()(np.ones((2, 5, 3), "float32"), controls, previous)
