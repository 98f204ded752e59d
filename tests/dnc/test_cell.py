"""DNCCell: named state, ranges, edges, and what it refuses."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.dnc.cells import random_cell
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients


def test_named_state_has_real_shapes(rng):
    cell = random_cell(rng, num_writes=3)
    state = cell.unflatten(cell.get_initial_state(batch_size=5))
    assert tuple(state.output.shape) == (5, 3)
    assert tuple(state.read_words.shape) == (5, 2, 4)
    assert tuple(state.access.memory.shape) == (5, 7, 4)
    assert tuple(state.access.usage.shape) == (5, 7)
    assert tuple(state.access.link.shape) == (5, 3, 7, 7)
    assert tuple(state.access.precedence_weights.shape) == (5, 3, 7)
    assert tuple(state.access.read_weights.shape) == (5, 2, 7)
    assert tuple(state.access.write_weights.shape) == (5, 3, 7)
    assert [tuple(s.shape) for s in state.controller] == [(5, 8), (5, 8)]


def test_call_is_step_at_the_border(rng):
    cell = random_cell(rng)
    inputs = ops.convert_to_tensor(rng.normal(size=(2, 5)).astype("float32"))
    states = cell.get_initial_state(batch_size=2)
    output, new_states = cell(inputs, states)
    record = cell.step(inputs, cell.unflatten(states))
    np.testing.assert_array_equal(to_numpy(output), to_numpy(record.state.output))
    for new, expected in zip(new_states, cell.flatten(record.state), strict=True):
        np.testing.assert_array_equal(to_numpy(new), to_numpy(expected))


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_any_input_gives_finite_values_and_gradients(rng, scale):
    cell = random_cell(rng, num_writes=2)
    layer = keras.layers.RNN(cell, return_sequences=True)
    inputs = ops.convert_to_tensor(scale * rng.normal(size=(2, 6, 5)).astype("float32"))
    value, gradients = value_and_gradients(
        lambda: ops.mean(ops.square(layer(inputs))), cell.trainable_variables
    )
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize("filling", [0.0, 1.0, 1e4])
def test_any_memory_gives_finite_values_and_gradients(rng, filling):
    """A zero memory with zero keys, a full one with full usage, a huge one."""
    cell = random_cell(rng)
    for variable in cell.access.interface.dense.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    state = cell.unflatten(cell.get_initial_state(batch_size=2))
    access = state.access._replace(
        memory=ops.full((2, 7, 4), filling), usage=ops.full((2, 7), min(filling, 1.0))
    )
    states = cell.flatten(state._replace(access=access))
    layer = keras.layers.RNN(cell, return_sequences=True)
    inputs = ops.convert_to_tensor(rng.normal(size=(2, 4, 5)).astype("float32"))
    value, gradients = value_and_gradients(
        lambda: ops.mean(ops.square(layer(inputs, initial_state=states))),
        cell.trainable_variables,
    )
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.slow
@pytest.mark.only("tensorflow", "jax")
def test_two_thousand_steps_stay_finite_and_in_range(rng):
    cell = random_cell(rng)
    layer = keras.layers.RNN(cell, return_state=True)
    inputs = ops.convert_to_tensor(rng.normal(size=(2, 2000, 5)).astype("float32"))

    def loss():
        output, *states = layer(inputs)
        access = cell.unflatten(states).access
        sizes = [ops.mean(ops.square(tensor)) for tensor in access]
        return ops.mean(ops.square(output)) + sum(sizes)

    layer.build(inputs.shape)
    value, gradients = value_and_gradients(
        loss, cell.trainable_variables, compiled=True
    )
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
    symbolic = keras.Input((None, 5))
    outputs = keras.Model(symbolic, layer(symbolic)).predict(inputs, verbose=0)
    states = [ops.convert_to_tensor(state) for state in outputs[1:]]
    access = to_numpy(cell.unflatten(states).access)
    for weights in (access.usage, access.link, access.read_weights):
        assert np.min(weights) >= -1e-6
        assert np.max(weights) <= 1.0 + 1e-5


@pytest.mark.parametrize("name", ["output_size", "memory_size", "num_writes"])
@pytest.mark.parametrize("value", [0, -3, 1.5])
def test_sizes_must_be_positive_integers(name, value):
    rule = f"`{name}` must be a positive integer. Received: {name}={value!r}"
    with pytest.raises(ValueError, match=rule):
        keras_dnc.DNCCell(**{"output_size": 3, name: value})


@pytest.mark.parametrize(
    "controller",
    [
        keras.layers.LSTM(8),
        0,
        -1,
        2.5,
        None,
        "lstm",
        keras.layers.LSTMCell,
        keras.layers.Dense(3),
    ],
)
def test_a_controller_must_be_a_cell(controller):
    with pytest.raises(ValueError, match="`controller` must be a positive integer"):
        keras_dnc.DNCCell(3, controller=controller)


@pytest.mark.parametrize("controller", ["lstm", keras.layers.LSTM(8)])
def test_a_name_or_a_layer_as_controller_is_told_what_to_pass(controller):
    advice = r"pass a number of units or `keras.layers.LSTMCell\(8\)`.*Received: con"
    with pytest.raises(ValueError, match=advice):
        keras_dnc.DNCCell(3, controller=controller)


@pytest.mark.parametrize("value", [0, -1.0, "20", False])
def test_clip_value_must_be_positive_or_none(value):
    with pytest.raises(
        ValueError, match="`clip_value` must be a positive number or None"
    ):
        keras_dnc.DNCCell(3, clip_value=value)


@pytest.mark.parametrize("value", ["no", 1, None])
def test_usage_gradient_must_be_a_bool(value):
    with pytest.raises(ValueError, match="`usage_gradient` must be one of"):
        keras_dnc.DNCCell(3, usage_gradient=value)


def test_numpy_integers_are_sizes():
    cell = keras_dnc.DNCCell(np.int64(3), np.int64(8), memory_size=np.int64(7))
    assert keras.layers.RNN(cell)(np.zeros((2, 4, 5), "float32")).shape == (2, 3)


def test_strength_must_be_known():
    with pytest.raises(
        ValueError, match=r"`strength` must be one of \['oneplus', 'soft"
    ):
        keras_dnc.DNCCell(3, strength="relu")


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 5, 1)])
def test_inputs_of_the_wrong_rank_are_refused(shape):
    layer = keras.layers.RNN(keras_dnc.DNCCell(3, controller=8))
    with pytest.raises(
        ValueError, match=r"`inputs` must have shape \(batch, features\)"
    ):
        layer(np.zeros(shape, "float32"))


@pytest.mark.parametrize("shape", [(2, 5, 1), (2, 6)])
def test_a_step_of_another_shape_is_refused_after_building(rng, shape):
    cell = random_cell(rng)
    with pytest.raises(ValueError, match=r"`inputs` must have shape \(batch, 5\)"):
        cell(np.zeros(shape, "float32"), cell.get_initial_state(batch_size=2))


def test_a_wrong_number_of_states_is_refused(rng):
    cell = random_cell(rng)
    with pytest.raises(ValueError, match="`states` must be a list of 10 tensors"):
        cell.unflatten(cell.get_initial_state(batch_size=2)[:3])


def test_a_state_of_the_wrong_size_is_named(rng):
    cell = random_cell(rng)
    states = cell.get_initial_state(batch_size=2)
    states[2] = ops.zeros((2, 5))
    with pytest.raises(
        ValueError, match=r"`states\[2\]` must have shape \(batch, 28\)"
    ):
        cell.unflatten(states)


def test_the_config_gives_the_arguments_back():
    cell = keras_dnc.DNCCell(
        3,
        controller=keras.layers.GRUCell(8),
        memory_size=7,
        word_size=4,
        num_reads=2,
        num_writes=2,
        clip_value=None,
        strength="oneplus",
        usage_gradient=True,
        dtype="mixed_bfloat16",
    )
    twin = keras_dnc.DNCCell.from_config(cell.get_config())
    assert twin.get_config() == cell.get_config()
    assert twin.controller_dtype_policy.name == "mixed_bfloat16"
    assert twin.compute_dtype == "float32"
