"""Sequences, states and masks mean what they mean for every Keras RNN layer."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dnc
from tests.conformance.cases import every_cell
from tests.conformance.cases import every_state
from tests.conformance.cases import trained_cell
from tests.conformance.harness import LENGTHS
from tests.conformance.harness import TIME
from tests.conformance.harness import check_same
from tests.conformance.harness import full_rnn
from tests.conformance.harness import length_mask
from tests.conformance.harness import random_inputs
from tests.numbers import assert_close
from tests.numbers import to_numpy
from tests.numbers import value_and_gradients


@every_cell
@pytest.mark.parametrize("shape", [(3, 5), (3, TIME, 5, 1)])
def test_an_error_about_the_rank_speaks_of_sequences(make, shape):
    with pytest.raises(ValueError, match=r"sequences \(batch, time, features\).*Rec"):
        keras.layers.RNN(make())(np.ones(shape, "float32"))


@every_cell
def test_a_cell_called_like_a_layer_is_told_its_layer(make, rng):
    inputs = keras.Input((None, 5))
    for call in (
        lambda cell: cell(random_inputs(rng)),
        lambda cell: cell(inputs),
        lambda cell: keras.Sequential([inputs, cell]),
    ):
        with pytest.raises(ValueError, match=r"wrap it: `keras_dnc.MemoryRNN\(cell\)`"):
            call(make())


@every_state
@pytest.mark.parametrize(
    "kind",
    [  # Keras's loop on JAX fails before it calls the cell
        pytest.param(
            keras.layers.RNN, marks=pytest.mark.only("tensorflow", "torch"), id="RNN"
        ),
        keras_dnc.MemoryRNN,
    ],
)
def test_an_error_about_a_named_state_tells_how_to_flatten_it(make, kind, rng):
    layer, inputs = kind(make()), random_inputs(rng)
    outputs = layer(inputs)
    cell = layer.cell
    state = cell.unflatten(cell.get_initial_state(batch_size=3))
    with pytest.raises(ValueError, match=r"`cell.flatten\(state\)` makes such a list"):
        layer(inputs, initial_state=state)
    check_same([layer(inputs, initial_state=cell.flatten(state))], [outputs])


@every_cell
def test_the_last_output_is_the_end_of_the_sequence(make, rng):
    cell = make()
    inputs = random_inputs(rng)
    outputs = keras.layers.RNN(cell, return_sequences=True)(inputs)
    last = keras.layers.RNN(cell)(inputs)
    assert outputs.shape == (3, TIME, cell.output_size)
    assert_close(to_numpy(last), to_numpy(outputs)[:, -1])


@every_state
def test_the_symbolic_shapes_are_the_real_ones(make, rng):
    layer = full_rnn(make())
    symbolic = layer(keras.Input((None, 5)))
    real = layer(random_inputs(rng))
    for promised, given in zip(symbolic, real, strict=True):
        assert promised.shape[-1] == given.shape[-1]
        assert len(promised.shape) == len(given.shape)


@every_cell
def test_the_first_state_is_the_last_output(make, rng):
    outputs, *states = full_rnn(make())(random_inputs(rng))
    assert_close(to_numpy(states[0]), to_numpy(outputs)[:, -1])


@every_state
def test_the_zero_state_is_a_fresh_state(make, rng):
    layer, inputs = full_rnn(make()), random_inputs(rng)
    fresh = layer(inputs)
    zeros = [ops.zeros((3, size)) for size in layer.cell.state_size]
    check_same(layer(inputs, initial_state=zeros), fresh)


@every_state
def test_a_sequence_cut_in_two_equals_the_whole(make, rng):
    layer, inputs = full_rnn(make()), random_inputs(rng)
    whole, *states = layer(inputs)
    first, *between = layer(inputs[:, :2])
    second, *end = layer(inputs[:, 2:], initial_state=between)
    assert_close(np.concatenate(to_numpy([first, second]), axis=1), to_numpy(whole))
    check_same(end, states)


@every_cell
def test_a_masked_sequence_cut_in_two_equals_the_whole(make, rng):
    layer, inputs, mask = full_rnn(make()), random_inputs(rng), length_mask()
    whole, *states = layer(inputs, mask=mask)
    first, *between = layer(inputs[:, :2], mask=mask[:, :2])
    second, *end = layer(inputs[:, 2:], mask=mask[:, 2:], initial_state=between)
    parts = np.concatenate(to_numpy([first, second]), axis=1)
    assert_close(parts[mask], to_numpy(whole)[mask])
    check_same(end, states)


@every_state
def test_padding_never_changes_outputs_or_states(make, rng):
    layer = full_rnn(make(memory_size=3))  # as many slots as sequences in the batch
    inputs = random_inputs(rng)
    outputs, *states = layer(inputs, mask=length_mask())
    for row, length in enumerate(LENGTHS):
        alone, *alone_states = layer(inputs[row : row + 1, :length])
        assert_close(to_numpy(outputs)[row, :length], to_numpy(alone)[0])
        check_same([state[row : row + 1] for state in states], alone_states)


@every_cell
def test_masked_steps_repeat_the_last_output(make, rng):
    outputs, *_ = full_rnn(make())(random_inputs(rng), mask=length_mask())
    outputs = to_numpy(outputs)
    for row, length in enumerate(LENGTHS):
        repeats = np.broadcast_to(outputs[row, length - 1], outputs[row, length:].shape)
        np.testing.assert_array_equal(outputs[row, length:], repeats)


@trained_cell
def test_padding_never_changes_a_gradient(make, rng):
    layer, inputs = keras.layers.RNN(make(), return_sequences=True), random_inputs(rng)
    mask = length_mask()
    layer(inputs)

    def padded():
        outputs = layer(ops.convert_to_tensor(inputs), mask=ops.convert_to_tensor(mask))
        weights = ops.convert_to_tensor(mask[:, :, None].astype("float32"))
        return ops.sum(ops.square(outputs) * weights)

    def unpadded():
        rows = [inputs[r : r + 1, :n] for r, n in enumerate(LENGTHS)]
        outputs = [layer(ops.convert_to_tensor(row)) for row in rows]
        return sum(ops.sum(ops.square(output)) for output in outputs)

    value, gradients = value_and_gradients(padded, layer.trainable_variables)
    expected, expected_gradients = value_and_gradients(
        unpadded, layer.trainable_variables
    )
    assert_close(value, expected)
    check_same(gradients, expected_gradients)


@every_cell
def test_a_mask_in_the_middle_skips_steps(make, rng):
    layer, inputs = full_rnn(make()), random_inputs(rng)
    mask = np.ones((3, TIME), bool)
    mask[:, [1, 3]] = False
    _, *states = layer(inputs, mask=mask)
    _, *without = layer(inputs[:, mask[0]])
    check_same(states, without)


@every_cell
def test_going_backwards_is_the_reversed_sequence(make, rng):
    cell, inputs = make(), random_inputs(rng)
    forwards = full_rnn(cell)(inputs[:, ::-1].copy())
    backwards = full_rnn(cell, go_backwards=True)(inputs)
    check_same(backwards, forwards)


@trained_cell
@pytest.mark.only("tensorflow", "jax")
def test_unrolling_changes_nothing(make, rng):
    cell, inputs, mask = make(), random_inputs(rng), length_mask()
    loop = full_rnn(cell)(inputs, mask=mask)
    check_same(full_rnn(cell, unroll=True)(inputs, mask=mask), loop)


@every_cell
def test_one_step_one_slot_one_head(make, rng):
    layer = keras.layers.RNN(make(memory_size=1, num_reads=1))
    inputs = random_inputs(rng, time=1)
    layer(inputs)
    value, gradients = value_and_gradients(
        lambda: ops.sum(ops.square(layer(ops.convert_to_tensor(inputs)))),
        layer.trainable_variables,
    )
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@every_cell
def test_one_sequence_in_the_batch(make, rng):
    layer, inputs = full_rnn(make()), random_inputs(rng)
    together = layer(inputs)
    alone = layer(inputs[1:2])
    check_same([tensor[1:2] for tensor in together], alone)
