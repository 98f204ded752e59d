"""A client that streams gives the whole sequence, and says what does not fit."""

import contextlib
import threading
import time

import keras
import numpy as np
import pytest

from keras_dnc.export import ServerError
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


@contextlib.contextmanager
def unchanged(client):
    """Assert that a client has the same states and the same batch size afterwards."""
    state, batch_size = client.state, client.batch_size
    yield
    assert client.batch_size == batch_size
    assert set(client.state) == set(state)
    for name, array in client.state.items():
        np.testing.assert_array_equal(array, state[name])


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
    with unchanged(client), pytest.raises(ValueError, match=message):
        client.step(inputs)
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
    with unchanged(client), pytest.raises(ValueError, match=message):
        client.state = change(client.state)
    client.step(np.ones((2, 5)))


@pytest.mark.parametrize("serve", [folder, rest_server, grpc_server])
def test_what_the_runtime_refuses_raises_and_it_lives_on(exported, serve):
    """As if the client had not looked: the request itself is bad."""
    with serve(exported("dnc"), "machine") as target:
        client = StreamingClient(target, batch_size=2)
        for rows in (1, 3):
            usage = np.zeros((rows, 9), "float32")
            client._state = {**client._state, "usage": usage}
            with pytest.raises(ServerError, match="for_usage"):
                client.step(np.ones((2, 5)))
        client.reset()
        client.step(np.ones((2, 5)))


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, None])
def test_a_batch_size_is_a_positive_integer(exported, batch_size):
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        StreamingClient(exported("dnc").folder, batch_size=batch_size)


@pytest.mark.parametrize("timeout", [0, -1, np.nan, "60", True, None])
def test_a_timeout_is_a_positive_number(timeout):
    message = rf"`timeout` must be a positive number of seconds. .*timeout={timeout!r}"
    with pytest.raises(ValueError, match=message):
        StreamingClient("http://localhost:1/v1/models/none", timeout=timeout)


@pytest.mark.parametrize("serve", [folder, rest_server, grpc_server])
def test_a_timeout_may_be_infinite(exported, serve):
    with serve(exported("tokens"), "reader") as target:
        client = StreamingClient(target, timeout=np.inf)
        assert client.step([3]).shape == (1, 3)


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


TOKENS = np.array([[3, 1, 4, 1, 5], [2, 7, 1, 8, 2]], "int32")


def renamed(outputs, old, new):
    return {new if name == old else name: array for name, array in outputs.items()}


def with_one(number):
    """Return a fault: one element of each float array is that number."""

    def fault(outputs):
        outputs = {name: array.copy() for name, array in outputs.items()}
        for array in outputs.values():
            array[-1, -1] = number
        return outputs

    return fault


def changed(suffix, change):
    """Return a fault: the outputs with that end of a name are changed."""
    return lambda outputs: {
        name: change(array) if name.endswith(suffix) else array
        for name, array in outputs.items()
    }


FAULTS = {  # on the outputs of `step`, and on the states of `initial_state`
    "missing": (lambda o: without(o, max(o)), "the outputs must be .* missing ..s"),
    "surplus": (lambda o: {**o, "age": np.ones(2)}, r"must be .* unknown \['age'\]"),
    "another name": (lambda o: renamed(o, max(o), "age"), r"unknown \['age'\]"),
    "fewer rows": (lambda o: {n: a[:1] for n, a in o.items()}, r"shape \(2, 3\)"),
    "another size": (changed("", lambda a: a[:, :2]), r"shape \(2, 3\)"),
    "another rank": (changed("", lambda a: a[:, None]), r"shape \(2, 3\)"),
    "one bad state": (changed("0", lambda a: a[..., :1]), r"_0` must have shape"),
    "strings": (changed("", lambda a: a.astype(str).astype(object)), "fits float32"),
    "NaN": (with_one(np.nan), r"must be finite. .* in rows \[1\]"),
    "infinity": (with_one(-np.inf), r"must be finite. .* in rows \[1\]"),
}
REST_FAULTS = {
    "ragged": (changed("", lambda a: [[1.0], [1.0, 2.0]]), "inhomogeneous"),
    "null": (changed("", lambda a: None), "must have shape"),
    "nulls": (changed("", lambda a: [[None] * 3] * 2), "fits float32"),
    "too large": (changed("", lambda a: [[1e39] * 3] * 2), "must be finite"),
    "by no names": (lambda o: list(o.values()), "no outputs by name"),
}


@contextlib.contextmanager
def spoilt(serve, export):
    """Give a client of two sequences and a list of the faults from now on."""
    faults = []

    def change(outputs):
        for fault in faults:
            outputs = fault(outputs)
        return outputs

    with serve(export, "reader", change) as target:
        yield StreamingClient(target, batch_size=2), faults


@pytest.mark.parametrize(
    ("serve", "fault", "message"),
    [
        *[pytest.param(rest_server, *f, id=f"rest {n}") for n, f in FAULTS.items()],
        *[pytest.param(grpc_server, *f, id=f"grpc {n}") for n, f in FAULTS.items()],
        *[pytest.param(rest_server, *f, id=n) for n, f in REST_FAULTS.items()],
    ],
)
def test_an_invalid_answer_is_refused_and_changes_nothing(
    exported, serve, fault, message
):
    """The steps after it go on as if it had not been."""
    export = exported("tokens")
    with spoilt(serve, export) as (client, faults):
        before = streamed(client, TOKENS[:, :2])
        faults.append(fault)
        with unchanged(client), pytest.raises(ServerError, match=message) as caught:
            client.step(TOKENS[:, 2])
        assert caught.value.server in str(caught.value)
        with unchanged(client), pytest.raises(ServerError, match=message):
            client.reset()
        faults.clear()
        outputs = np.concatenate([before, streamed(client, TOKENS[:, 2:])], axis=1)
    assert_close(outputs, export.expected(TOKENS))


def test_a_failed_reset_leaves_the_batch_size(exported):
    with spoilt(rest_server, exported("tokens")) as (client, faults):
        faults.append(with_one(np.nan))
        with unchanged(client), pytest.raises(ServerError, match="`initial_state`"):
            client.reset(batch_size=3)


def test_a_model_that_computes_nan_is_refused_in_this_process(tmp_path):
    layer = keras.layers.LSTM(4, return_sequences=True)
    model = keras.Sequential([keras.Input((None, 2)), layer])
    layer.set_weights(
        [np.full_like(weights, np.nan) for weights in layer.get_weights()]
    )
    path = export_for_serving(model, tmp_path)
    client = StreamingClient(path)
    with (
        unchanged(client),
        pytest.raises(ServerError, match="must be finite") as caught,
    ):
        client.step([[1.0, 2.0]])
    assert caught.value.server == str(path)


def test_steps_of_several_threads_run_one_after_another(exported):
    """Each continues from the state that another has left."""
    export, inputs = exported("tokens"), np.full((2, 12), 3, "int32")
    running, most = [], []

    def slowly(outputs):
        running.append(None)
        most.append(len(running))
        time.sleep(0.01)
        running.pop()
        return outputs

    with spoilt(rest_server, export) as (client, faults):
        faults.append(slowly)
        outputs = []

        def run():
            for _ in range(4):
                outputs.append(client.step(inputs[:, 0]))

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expected = list(export.expected(inputs).swapaxes(0, 1))
    assert_close(np.sort(outputs, axis=0), np.sort(expected, axis=0))
    assert max(most) == 1


def restart(client):
    client.reset(batch_size=3)


def assign(client):
    client.state = {name: np.ones((3, 3)) for name in client.state}


@pytest.mark.parametrize(("action", "number"), [(restart, 0.0), (assign, 1.0)])
def test_a_new_state_waits_for_the_step_before_it(exported, action, number):
    """Otherwise that step, when it ends, would replace the new state."""
    started, may_end = threading.Event(), threading.Event()

    def held(outputs):
        started.set()
        may_end.wait(10)
        return outputs

    with spoilt(rest_server, exported("tokens")) as (client, faults):
        faults.append(held)
        step = threading.Thread(target=client.step, args=(TOKENS[:, 0],))
        step.start()
        assert started.wait(10)
        faults.clear()
        change = threading.Thread(target=action, args=(client,))
        change.start()
        change.join(0.3)
        assert change.is_alive()
        may_end.set()
        step.join()
        change.join()
    assert client.batch_size == 3
    for array in client.state.values():
        np.testing.assert_array_equal(array, np.full((3, 3), number))
