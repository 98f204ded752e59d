"""A Keras model runs step by step in this process, on every backend."""

import keras
import numpy as np
import pytest

import keras_dnc
from keras_dnc.export import ServerError
from keras_dnc.export import StreamingClient
from tests.numbers import assert_close
from tests.numbers import to_numpy

FEATURES, OUTPUTS, BATCH, TIME = 5, 3, 2, 4


def dnc():
    return keras_dnc.DNCCell(OUTPUTS, 8, memory_size=9, word_size=4, num_reads=2)


def chain(*layers, features=FEATURES):
    return keras.Sequential([keras.Input((None, features)), *layers])


def reads_tokens(mask_zero):
    tokens = keras.Input((None,), dtype="int32")
    hidden = keras.layers.Embedding(9, 4, mask_zero=mask_zero)(tokens)
    return keras.Model(
        tokens, keras_dnc.MemoryRNN(dnc(), return_sequences=True)(hidden)
    )


def two_layers():
    lstm = keras.layers.LSTM(6, return_sequences=True)
    memory = keras_dnc.MemoryRNN(dnc(), return_sequences=True)
    return chain(lstm, keras.layers.Dropout(0.5), memory, keras.layers.Dense(2))


MODELS = {
    "memory": lambda: chain(keras_dnc.MemoryRNN(dnc(), return_sequences=True)),
    "last output": lambda: chain(keras.layers.RNN(dnc())),
    "two layers": two_layers,
    "tokens": lambda: reads_tokens(mask_zero=False),
}


def inputs_of(model, time=TIME):
    rng = np.random.default_rng(0)
    if model.inputs[0].dtype == "int32":
        return rng.integers(1, 9, (BATCH, time)).astype("int32")
    return rng.normal(size=(BATCH, time, FEATURES)).astype("float32")


def streamed(client, inputs):
    return np.stack([client.step(now) for now in np.swapaxes(inputs, 0, 1)], axis=1)


@pytest.mark.parametrize("case", MODELS)
def test_steps_equal_the_whole_sequence(case):
    model = MODELS[case]()
    inputs = inputs_of(model)
    outputs = streamed(StreamingClient(model, batch_size=BATCH), inputs)
    expected = to_numpy(model(inputs, training=False))
    if expected.ndim == 2:
        outputs = outputs[:, -1]
    assert_close(outputs, expected)


def test_masked_tokens_change_nothing():
    model = reads_tokens(mask_zero=True)
    client, unpadded = StreamingClient(model), StreamingClient(model)
    client.step([3])
    client.step([0])
    unpadded.step([3])
    for name, state in unpadded.state.items():
        assert_close(client.state[name], state, name=name)
    assert_close(client.step([5]), unpadded.step([5]))


def test_the_layers_of_the_model_keep_their_inputs_and_outputs():
    model = MODELS["memory"]()
    (layer,) = model.layers
    before = layer.input, layer.output
    StreamingClient(model)
    assert layer.input is before[0] and layer.output is before[1]


def test_states_keep_the_dtype_of_the_cell_under_another_policy():
    model = MODELS["memory"]()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        client = StreamingClient(model, batch_size=BATCH)
        inputs = inputs_of(model)
        assert_close(streamed(client, inputs), to_numpy(model(inputs)))
    finally:
        keras.config.set_dtype_policy("float32")
    assert {state.dtype.name for state in client.state.values()} == {"float32"}


def test_states_have_the_names_and_shapes_of_the_cell():
    client = StreamingClient(MODELS["memory"](), batch_size=BATCH)
    shapes = {name: state.shape for name, state in client.state.items()}
    assert shapes["memory"] == (BATCH, 9, 4)
    assert shapes["read_weights"] == (BATCH, 2, 9)
    assert shapes["controller_1"] == (BATCH, 8)


def test_new_weights_take_effect_at_the_next_step():
    model = chain(keras.layers.SimpleRNN(OUTPUTS))
    client, inputs = StreamingClient(model, batch_size=BATCH), inputs_of(model, time=1)
    before = client.step(inputs[:, 0])
    model.set_weights([2.0 * weight + 0.1 for weight in model.get_weights()])
    client.reset()
    after = client.step(inputs[:, 0])
    assert_close(after, to_numpy(model(inputs)))
    assert np.max(np.abs(after - before)) > 0.01


def test_the_states_of_a_stateful_layer_are_left_alone():
    layer = keras.layers.GRU(OUTPUTS, stateful=True)
    model = keras.Sequential([keras.Input((None, FEATURES), batch_size=BATCH), layer])
    inputs = inputs_of(model)
    model(inputs)
    before = to_numpy(layer.states[0].value)
    StreamingClient(model, batch_size=BATCH).step(inputs[:, 0])
    np.testing.assert_array_equal(to_numpy(layer.states[0].value), before)
    assert np.max(np.abs(before)) > 0.0


@pytest.mark.only("tensorflow", "jax")  # PyTorch runs it eagerly
def test_the_step_is_traced_once(monkeypatch):
    calls = []
    plain = keras_dnc.DNCCell.call
    monkeypatch.setattr(
        keras_dnc.DNCCell,
        "call",
        lambda self, *args, **kwargs: calls.append(1) or plain(self, *args, **kwargs),
    )
    model = MODELS["memory"]()
    client, inputs = StreamingClient(model, batch_size=BATCH), inputs_of(model)
    client.step(inputs[:, 0])
    traced = len(calls)
    assert traced > 0
    streamed(client, inputs)
    client.reset()
    streamed(client, inputs)
    assert len(calls) == traced


def backward():
    return keras_dnc.MemoryRNN(dnc(), return_sequences=True, go_backwards=True)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (backward, "goes backwards"),
        (lambda: keras.layers.Conv1D(3, 2), "does not treat each step alike"),
        (lambda: keras.layers.Dense(3), "has no recurrent layer"),
    ],
)
def test_a_model_that_cannot_run_step_by_step_is_refused(layer, reason):
    rule = "Argument `target` must be a Keras model that can run step by step"
    with pytest.raises(ValueError, match=f"{rule}. Received: target=.*{reason}"):
        StreamingClient(chain(layer()))


def test_inputs_of_another_shape_are_refused():
    client = StreamingClient(MODELS["memory"]())
    with pytest.raises(ValueError, match=r"`inputs` must have shape \(1, 5\)"):
        client.step(np.ones((1, 4), "float32"))


@pytest.mark.only("tensorflow", "torch")  # JAX returns NaN or the last row instead
def test_an_error_of_the_backend_names_the_model():
    client = StreamingClient(reads_tokens(mask_zero=False))
    before = client.state
    with pytest.raises(ServerError, match="Keras model .*: `step` failed"):
        client.step([99])
    for name, state in client.state.items():
        np.testing.assert_array_equal(state, before[name])
