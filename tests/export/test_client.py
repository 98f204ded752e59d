"""A client that streams gives the whole sequence, and says what does not fit."""

import contextlib

import keras
import numpy as np
import pytest

from keras_dnc.export import StreamingClient
from keras_dnc.export import export_for_serving
from tests.export.conftest import sequences
from tests.export.servers import grpc_server
from tests.export.servers import rest_server
from tests.numbers import assert_close

pytestmark = [pytest.mark.only("tensorflow"), pytest.mark.slow]


@contextlib.contextmanager
def folder(export, name):
    yield export.folder


def streamed(client, inputs):
    steps = [client.step(inputs[:, time]) for time in range(inputs.shape[1])]
    return np.stack(steps, axis=1)


def test_steps_equal_the_whole_sequence(exported):
    export, inputs = exported("ntm"), sequences(3, 7)
    client = StreamingClient(export.folder, batch_size=3)
    assert_close(streamed(client, inputs), export.expected(inputs))


@pytest.mark.parametrize("serve", [rest_server, grpc_server])
def test_steps_equal_the_whole_sequence_over_the_net(exported, serve):
    export, inputs = exported("ntm"), sequences(2, 5)
    with serve(export, "machine") as target:
        client = StreamingClient(target, batch_size=2)
        assert_close(streamed(client, inputs), export.expected(inputs))


def test_reset_begins_anew_with_another_batch(exported):
    export, inputs = exported("ntm"), sequences(3, 4)
    client = StreamingClient(export.folder)
    client.step(inputs[:1, 0])
    client.reset(batch_size=3)
    assert client.batch_size == 3
    assert_close(streamed(client, inputs), export.expected(inputs))
    client.reset()
    assert_close(streamed(client, inputs), export.expected(inputs))


def test_a_state_goes_on_in_another_client(exported):
    export, inputs = exported("dnc"), sequences(2, 6)
    first = StreamingClient(export.folder, batch_size=2)
    streamed(first, inputs[:, :3])
    second = StreamingClient(export.folder)
    second.state = first.state
    assert second.batch_size == 2
    outputs = streamed(second, inputs[:, 3:])
    assert_close(outputs, export.expected(inputs)[:, 3:])


@pytest.fixture
def client(exported):
    return StreamingClient(exported("dnc").folder, batch_size=2)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros(5), r"`inputs` must have shape \(2, 5\). Received: .*\(5,\)"),
        (np.zeros((2, 1, 5)), r"`inputs` must have shape \(2, 5\)"),
        (np.zeros((3, 5)), r"`inputs` must have shape \(2, 5\). Received: .*\(3, 5\)"),
        (np.full((2, 5), "a"), "`inputs` must be of a kind that fits float32"),
        (np.zeros((2, 5), complex), "`inputs` must be of a kind .*complex128"),
        ([[0.0] * 5, [np.nan] * 5], r"`inputs` must be finite. .* in rows \[1\]"),
        (np.full((2, 5), np.inf), "`inputs` must be finite"),
        (np.full((2, 5), 1e39), "`inputs` must be finite"),
    ],
)
def test_bad_inputs_are_refused_and_change_nothing(client, inputs, message):
    client.step(np.ones((2, 5)))
    before = client.state
    with pytest.raises(ValueError, match=message):
        client.step(inputs)
    for name, array in client.state.items():
        np.testing.assert_array_equal(array, before[name])
    client.step(np.ones((2, 5)))


def without(state, name):
    return {key: array for key, array in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "usage"), r"`state` must have .*missing \['usage'\]"),
        (lambda s: {**s, "age": 1}, r"`state` must have .*unknown \['age'\]"),
        (lambda s: {**s, "usage": s["usage"][:1]}, r"one batch size. .*'usage': 1"),
        (lambda s: {n: a[:0] for n, a in s.items()}, "`batch_size` must be a positive"),
        (lambda s: {**s, "usage": s["usage"] * np.nan}, "`usage` must be finite"),
        (lambda s: {**s, "memory": s["usage"]}, r"`memory` must have shape"),
    ],
)
def test_a_bad_state_is_refused_and_changes_nothing(client, change, message):
    before = client.state
    with pytest.raises(ValueError, match=message):
        client.state = change(client.state)
    assert client.batch_size == 2
    for name, array in client.state.items():
        np.testing.assert_array_equal(array, before[name])
    client.step(np.ones((2, 5)))


@pytest.mark.parametrize("serve", [folder, rest_server, grpc_server])
def test_what_the_runtime_refuses_raises_and_it_lives_on(exported, serve):
    """As if the client had not looked: the request itself is bad."""
    with serve(exported("dnc"), "machine") as target:
        client = StreamingClient(target, batch_size=2)
        for rows in (1, 3):
            usage = np.zeros((rows, 9), "float32")
            client._state = {**client._state, "usage": usage}
            with pytest.raises(Exception, match="for_usage"):
                client.step(np.ones((2, 5)))
        client.reset()
        client.step(np.ones((2, 5)))


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, None])
def test_a_batch_size_is_a_positive_integer(exported, batch_size):
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        StreamingClient(exported("dnc").folder, batch_size=batch_size)


def test_a_target_must_be_one(tmp_path):
    with pytest.raises(ValueError, match="`target` must be the folder of a SavedModel"):
        StreamingClient(tmp_path)
    with pytest.raises(ValueError, match="`target` must name a model"):
        StreamingClient("grpc://localhost:8500")


@pytest.mark.parametrize("serve", [folder, rest_server, grpc_server])
def test_words_go_by_every_way(exported, serve):
    export = exported("words")
    with serve(export, "reader") as target:
        client = StreamingClient(target, batch_size=2)
        client.step([b"mary", b"home"])
        outputs = client.step(np.array(["home", "there"]))
    text = np.array([["mary", "home"], ["home", "there"]], object)
    assert_close(outputs, export.expected(text)[:, 1])


def test_tokens_that_do_not_fit_are_refused(exported):
    client = StreamingClient(exported("tokens").folder)
    with pytest.raises(ValueError, match="`inputs` must be of numbers that int32 hold"):
        client.step([2**40])
    with pytest.raises(ValueError, match="`inputs` must be of a kind that fits int32"):
        client.step([1.0])
    client.step([3])


def test_states_of_half_precision_are_kept(tmp_path):
    layer = keras.layers.LSTM(4, dtype="mixed_bfloat16", return_sequences=True)
    model = keras.Sequential([keras.Input((None, 2)), layer])
    path = export_for_serving(model, tmp_path)
    client = StreamingClient(path)
    client.step([[1.0, 2.0]])
    before = client.state
    client.state = before
    expected = client.step([[0.5, 0.5]])
    client.state = before
    np.testing.assert_array_equal(client.step([[0.5, 0.5]]), expected)


def test_a_state_of_more_than_four_megabytes_goes_by_grpc(exported):
    export = exported("dnc")
    with grpc_server(export, "machine") as target:
        client = StreamingClient(target, batch_size=30_000)  # of 81 links each
        assert client.state["link"].nbytes > 4 * 2**20


@pytest.mark.filterwarnings("ignore:Exported without")
def test_a_model_without_steps_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    path = export_for_serving(model, tmp_path)
    with pytest.raises(ValueError, match=r"a `step` signature. .*serving_default"):
        StreamingClient(path)
