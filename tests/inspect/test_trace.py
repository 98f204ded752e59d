"""trace: every named state and control of a cell, step by step."""

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.inspect.trace import trace
from keras_dnc.inspect.views import head_weights
from tests.dnc.cells import random_cell
from tests.numbers import assert_close
from tests.numbers import to_numpy


def test_a_trace_ends_in_the_state_of_the_layer(rng):
    cell = random_cell(rng, num_writes=2)
    inputs = rng.normal(size=(3, 6, 5)).astype("float32")
    seen = trace(cell, inputs)
    outputs, *states = keras.layers.RNN(cell, return_sequences=True, return_state=True)(
        inputs
    )
    final = to_numpy(cell.unflatten(states))
    assert_close(seen.output, to_numpy(outputs))
    assert_close(seen.inputs, inputs)
    assert_close(seen.read_words[:, -1], final.read_words)
    assert_close(seen.controller_1[:, -1], final.controller[1])
    # One by one and compiled, operations round differently, and two slots that are
    # nearly as free may change places: compare what the slots hold, not which.
    for name in ("memory", "usage"):
        slots, same = getattr(seen, name)[:, -1], getattr(final.access, name)
        assert_close(np.sort(slots, axis=1), np.sort(same, axis=1))


def test_a_trace_holds_every_control(rng):
    seen = trace(random_cell(rng), rng.normal(size=(3, 6, 5)))
    assert seen.free_gate.shape == (3, 6, 2)
    assert seen.read_mode.shape == (3, 6, 2, 3)
    assert seen.write_vectors.shape == (3, 6, 1, 4)
    assert_close(np.sum(seen.read_mode, axis=-1), np.ones((3, 6, 2)))


def test_a_model_is_traced_through_the_layers_before_its_cell(rng):
    cell = random_cell(rng)
    tokens = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, 5)(tokens)
    hidden = keras.layers.RNN(cell, return_sequences=True)(embedded)
    model = keras.Model(tokens, keras.layers.Dense(2)(hidden))
    numbers = rng.integers(0, 9, (2, 4))
    expected = keras.Model(tokens, hidden).predict(numbers, verbose=0)
    assert_close(trace(model, numbers).output, expected)


def test_a_masked_model_is_traced_as_it_runs(rng):
    inputs = keras.Input((None, 5))
    masked = keras.layers.Masking()(inputs)
    layer = keras.layers.RNN(random_cell(rng), return_sequences=True)
    model = keras.Model(inputs, layer(masked))
    sequences = rng.normal(size=(3, 6, 5)).astype("float32")
    sequences[1, 2:] = 0.0
    sequences[2, 4:] = 0.0
    expected = model.predict(sequences, verbose=0)
    assert_close(trace(model, sequences).output, expected)


def around(cell, **arguments):
    return keras.layers.RNN(cell, return_sequences=True, **arguments)


def test_a_layer_that_goes_backwards_is_shown_in_the_time_of_its_sequence(rng):
    inputs = keras.Input((None, 5))
    model = keras.Model(inputs, around(random_cell(rng), go_backwards=True)(inputs))
    sequences = rng.normal(size=(2, 4, 5)).astype("float32")
    seen = trace(model, sequences)
    assert_close(seen.output[:, ::-1], model.predict(sequences, verbose=0))
    assert_close(seen.inputs, sequences)


def test_one_direction_of_a_bidirectional_layer_is_chosen_by_its_name(rng):
    inputs = keras.Input((None, 5))
    layer = keras.layers.Bidirectional(around(random_cell(rng), name="dnc"))
    model = keras.Model(inputs, layer(inputs))
    sequences = rng.normal(size=(2, 4, 5)).astype("float32")
    expected = model.predict(sequences, verbose=0)
    names = ("forward_dnc", "backward_dnc")
    found = [trace(model, sequences, layer=name).output for name in names]
    assert_close(np.concatenate(found, axis=-1), expected)


def test_one_cell_of_a_stack_is_chosen_by_its_number(rng):
    inputs = keras.Input((None, 5))
    cells = [random_cell(rng), random_cell(rng, input_size=3)]
    model = keras.Model(inputs, around(cells, name="stack")(inputs))
    sequences = rng.normal(size=(2, 4, 5)).astype("float32")
    lower, upper = (trace(model, sequences, layer=f"stack/{i}") for i in (0, 1))
    assert_close(upper.output, model.predict(sequences, verbose=0))
    assert_close(upper.inputs, lower.output)


def test_several_layers_are_named_where_none_is_chosen(rng):
    inputs = keras.Input((None, 5))
    first = around(random_cell(rng), name="first")(inputs)
    second = around(random_cell(rng, input_size=3), name="second")(first)
    model = keras.Model(inputs, second)
    for layer in (None, "third"):
        with pytest.raises(ValueError, match=r"one of \['first', 'second'\].*Received"):
            trace(model, np.zeros((2, 3, 5), "float32"), layer=layer)


class Subclassed(keras.Model):
    def __init__(self, cell):
        super().__init__()
        self.inner = keras.Sequential([keras.layers.Dense(5), around(cell)])

    def call(self, inputs):
        return self.inner(inputs["sequences"])


def test_a_subclassed_model_with_the_layer_deep_inside_is_traced(rng):
    model = Subclassed(random_cell(rng))
    inputs = {"sequences": rng.normal(size=(2, 4, 7)).astype("float32")}
    expected = to_numpy(model(inputs))
    assert_close(trace(model, inputs).output, expected)


class KeepsItsCell(keras.Model):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell
        self.rnn = around(cell)

    def call(self, inputs):
        return self.rnn(inputs)


def test_a_model_that_keeps_its_cell_has_one_memory_layer(rng):
    model = KeepsItsCell(random_cell(rng))
    inputs = rng.normal(size=(2, 4, 5)).astype("float32")
    expected = to_numpy(model(inputs))
    assert_close(trace(model, inputs).output, expected)


def test_a_bidirectional_dnc_is_traced(rng):
    inputs = keras.Input((None, 5))
    layer = keras_dnc.BiDNC(3, 8, memory_size=7, word_size=4, return_sequences=True)
    model = keras.Model(inputs, layer(inputs))
    sequences = rng.normal(size=(2, 4, 5)).astype("float32")
    expected = model.predict(sequences, verbose=0)
    assert_close(trace(model, sequences).output, expected)


def test_a_trace_leaves_a_stateful_layer_where_it_was(rng):
    inputs = keras.Input(batch_shape=(2, 4, 5))
    layer = around(random_cell(rng), stateful=True)
    model = keras.Model(inputs, layer(inputs))
    first, second = rng.normal(size=(2, 2, 4, 5)).astype("float32")
    model(first)
    seen = trace(model, second).output
    assert_close(seen, to_numpy(model(second)))
    assert_close(seen[:, -1], to_numpy(layer.states[0]))


def test_a_layer_is_traced_from_the_state_that_it_is_given(rng):
    layer = keras.layers.RNN(random_cell(rng), return_sequences=True, return_state=True)
    whole = rng.normal(size=(2, 6, 5)).astype("float32")
    _, *states = layer(whole[:, :2])
    given = [keras.Input((size,)) for size in layer.cell.state_size]
    inputs = keras.Input((None, 5))
    model = keras.Model([inputs, *given], layer(inputs, initial_state=given)[0])
    rest = trace(model, [whole[:, 2:], *map(np.asarray, to_numpy(states))])
    assert_close(rest.output, trace(layer.cell, whole).output[:, 2:])


def test_a_layer_that_runs_twice_is_refused(rng):
    inputs, layer = keras.Input((None, 5)), around(random_cell(rng), name="twice")
    model = keras.Model(inputs, layer(inputs) + layer(inputs))
    with pytest.raises(ValueError, match="each memory layer once.*'twice' 2 times"):
        trace(model, np.zeros((2, 3, 5), "float32"))


@pytest.mark.parametrize("kind", [keras_dnc.SAMCell, keras_dnc.SDNCCell])
def test_a_sparse_cell_is_traced(rng, kind):
    cell = kind(3, 8, memory_size=12, word_size=4, num_reads=2, top_k=3)
    layer = around(cell)
    inputs = keras.Input((None, 5))
    model = keras.Model(inputs, layer(inputs))
    sequences = rng.normal(size=(2, 4, 5)).astype("float32")
    seen = trace(model, sequences)
    assert_close(seen.output, model.predict(sequences, verbose=0))
    assert seen.read_slots.shape == (2, 4, 2, 3)
    # A step wipes the slot that was accessed least recently, the last of those it
    # writes to, and adds its vector where it writes.
    before, after = seen.memory[1, :-1].copy(), seen.memory[1, 1:]
    wiped = seen.write_slots[1, 1:, 0, -1].astype(int)
    before[np.arange(3), wiped] = 0.0
    written = head_weights(seen, "write", sequence=1)[1:, 0]
    added = np.einsum("tn,tw->tnw", written, seen.write_vector[1, 1:])
    assert_close(after, before + added)


def test_a_file_gives_the_arrays_back(rng, tmp_path):
    seen = trace(random_cell(rng), rng.normal(size=(2, 4, 5)))
    seen.to_npz(tmp_path / "trace.npz")
    with np.load(tmp_path / "trace.npz") as arrays:
        assert set(arrays) == set(vars(seen))
        np.testing.assert_array_equal(arrays["link"], seen.link)


def test_a_table_has_a_column_for_each_number(rng):
    seen = trace(random_cell(rng), rng.normal(size=(2, 4, 5)))
    table = seen.to_dataframe(sequence=1, names=["usage", "read_weights", "mask"])
    assert len(table) == 4 and table.index.name == "time"
    columns = list(table.columns)
    assert columns[0] == "usage[0]" and columns[-1] == "mask"
    np.testing.assert_array_equal(
        table["read_weights[1, 3]"], seen.read_weights[1, :, 1, 3]
    )


def test_a_table_of_what_is_not_there_is_refused(rng):
    seen = trace(random_cell(rng), rng.normal(size=(2, 4, 5)))
    with pytest.raises(ValueError, match=r"arrays \['age'\].*Received.*'usage'"):
        seen.to_dataframe(names=["age"])
    with pytest.raises(ValueError, match="`sequence` must be .* from 0 to 1.*=2"):
        seen.to_dataframe(sequence=2)


def test_a_cell_that_was_never_built_is_refused():
    with pytest.raises(ValueError, match="`model_or_cell` must be built"):
        trace(keras_dnc.DNCCell(3, 8), np.zeros((2, 3, 5), "float32"))


def test_a_masked_step_of_a_sparse_cell_shows_no_write(rng):
    inputs = keras.Input((None, 5))
    cell = keras_dnc.SAMCell(3, 8, memory_size=12, word_size=4, num_reads=2, top_k=3)
    model = keras.Model(inputs, around(cell)(keras.layers.Masking()(inputs)))
    sequences = rng.normal(size=(2, 4, 5)).astype("float32")
    sequences[1, 2:] = 0.0
    weights = trace(model, sequences).write_weights
    assert np.all(weights[1, 2:] == 0.0)
    assert np.all(weights[0].sum(axis=(1, 2)) > 0.0)


def test_a_trace_leaves_every_stateful_layer_where_it_was(rng):
    inputs = keras.Input(batch_shape=(2, None, 5))
    hidden = around(random_cell(rng), stateful=True)(inputs)
    lstm = keras.layers.LSTM(4, stateful=True)
    model = keras.Model(inputs, lstm(hidden))
    sequences = rng.normal(size=(2, 3, 5)).astype("float32")
    model(sequences)
    before = to_numpy(lstm.states)
    trace(model, sequences)
    for found, expected in zip(to_numpy(lstm.states), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_layers_of_one_name_are_refused(rng):
    inputs = keras.Input((None, 5))
    first = keras.Sequential([around(random_cell(rng), name="dnc")], name="first")
    second = keras.Sequential(
        [around(random_cell(rng, input_size=3), name="dnc")], name="second"
    )
    model = keras.Model(inputs, second(first(inputs)))
    with pytest.raises(ValueError, match="different names.*several layers 'dnc'"):
        trace(model, np.zeros((2, 3, 5), "float32"))


@pytest.mark.parametrize("shape", [(2, 5), (2, 0, 5)])
def test_sequences_of_another_shape_are_refused(rng, shape):
    with pytest.raises(ValueError, match=r"shape \(batch, time, features\).*Received"):
        trace(random_cell(rng), np.zeros(shape, "float32"))


@pytest.mark.parametrize("what", [None, keras.layers.Dense(3)])
def test_what_has_no_memory_cell_is_refused(what):
    with pytest.raises(ValueError, match="`model_or_cell` must be a memory cell"):
        trace(what, np.zeros((2, 3, 5), "float32"))


def test_a_sparse_memory_is_traced_by_the_same_names(rng):
    cell = keras_dnc.SDNCCell(3, 8, memory_size=9, word_size=4, num_reads=2, top_k=3)
    cell.build((None, 5))
    seen = trace(cell, rng.normal(size=(2, 6, 5)).astype("float32"))
    assert seen.memory.shape == (2, 6, 9, 4)
    assert seen.read_slots.shape == (2, 6, 2, 3)
    assert seen.write_mode.shape == (2, 6, 3)
    assert seen.forward_slots.shape == (2, 6, 9, 8)
    np.testing.assert_array_equal(seen.time[0, :, 0], np.arange(1, 7))
