"""A server that is dead, slow or talks nonsense raises one error, which names it."""

import contextlib
import json
import pickle
import socket
import threading
import time

import numpy as np
import pytest

from keras_dnc.export import ServerError
from keras_dnc.export import StreamingClient
from tests.export import servers
from tests.export.servers import grpc_server
from tests.export.servers import rest_server

pytestmark = [pytest.mark.only("tensorflow"), pytest.mark.slow]
TIMEOUT = 0.5
ENOUGH = 3.0  # seconds in which a call with that timeout ends on a busy machine
SCHEMES = {
    "rest": "http://127.0.0.1:{}/v1/models/none",
    "grpc": "grpc://127.0.0.1:{}/none",
}


@contextlib.contextmanager
def ends_in_time():
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < ENOUGH


@contextlib.contextmanager
def refusing():
    """Give a port that nothing listens to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield port


@contextlib.contextmanager
def silent():
    """Give a port where connections open and nothing is ever sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def full():
    """Give a port where connections do not open: its queue has no room."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=0)
        )
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("serve", [refusing, silent, full])
def test_a_server_that_does_not_answer_is_named_in_time(serve, scheme):
    with serve() as port:
        target = SCHEMES[scheme].format(port)
        with ends_in_time(), pytest.raises(ServerError, match=target) as caught:
            StreamingClient(target, timeout=TIMEOUT)
    assert caught.value.server == target
    assert caught.value.__cause__ is not None


def drip(handler, _, content):
    """Send a body of one byte at a time, each soon enough."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b" ")
        time.sleep(0.05)


def drip_a_header(handler, *_):
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
    for _ in range(200):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def hang_up(*_):
    """Close the connection without a word."""


def break_off(handler, _, content):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def says(content, code=200):
    """Return a function that sends a body in place of the answer."""
    return lambda handler, *_: servers.send(handler, code, content)


NO_ANSWERS = {
    "drips": (drip, "no whole answer within 0.5 seconds"),
    "drips a header": (drip_a_header, "no whole answer within 0.5 seconds"),
    "hangs up": (hang_up, "no answer to"),
    "breaks off": (break_off, "no answer to"),
    "bad gzip": (
        lambda handler, *_: handler.wfile.write(
            b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n{}"
        ),
        "no answer to",
    ),
    "no HTTP": (lambda handler, *_: handler.wfile.write(b"hello"), "no answer to"),
    "an error": (says(b"out of order", 503), "HTTP status 503: out of order"),
    "no JSON": (says(b"<html>"), "is not JSON"),
    "nothing": (says(b""), "is not JSON"),
    "no text": (says(b"\xff\xfe\xfa"), "is not JSON"),
    "too deep": (says(b"[" * 100_000), "is not JSON"),
}
OTHER_JSON = ["[1]", "3", "null", "{}", json.dumps({"error": "no"})]
METADATA = [
    *OTHER_JSON,
    '{"metadata": null}',
    '{"metadata": {"signature_def": {"signature_def": ["step"]}}}',
    '{"metadata": {"signature_def": {"signature_def": {"step": 3}}}}',
    '{"metadata": {"signature_def": {"signature_def": {"step": {"inputs": 3}}}}}',
    '{"metadata": {"signature_def": {"signature_def": {"step": {}}}}}',
]


@contextlib.contextmanager
def rest(export):
    """Give the address of a server and a list; its last element, if any, sends."""
    instead = []

    def send(*answer):
        (instead[-1] if instead else servers.send)(*answer)

    with rest_server(export, "reader", send=send) as target:
        yield target, instead


@pytest.mark.parametrize(
    ("send", "message"),
    [
        *[pytest.param(*case, id=name) for name, case in NO_ANSWERS.items()],
        *[
            pytest.param(says(text.encode()), "no outputs by name", id=text)
            for text in [*OTHER_JSON, '{"outputs": [[1, 2]]}', '{"outputs": null}']
        ],
    ],
)
def test_a_failed_step_raises_in_time_and_changes_nothing(exported, send, message):
    with rest(exported("tokens")) as (target, instead):
        client = StreamingClient(target, timeout=TIMEOUT)
        before = client.state
        instead.append(send)
        with ends_in_time(), pytest.raises(ServerError, match=message) as caught:
            client.step([3])
        assert str(caught.value).startswith(f"{target}: ")
        assert client.batch_size == 1
        for name, array in client.state.items():
            np.testing.assert_array_equal(array, before[name])
        instead.clear()
        client.step([3])


@pytest.mark.parametrize(
    ("send", "message"),
    [
        *[pytest.param(*case, id=name) for name, case in NO_ANSWERS.items()],
        *[
            pytest.param(says(text.encode()), "malformed metadata|signatures", id=text)
            for text in METADATA
        ],
    ],
)
def test_metadata_that_fail_raise_in_time(exported, send, message):
    with rest(exported("tokens")) as (target, instead):
        instead.append(send)
        with ends_in_time(), pytest.raises(ServerError, match=message) as caught:
            StreamingClient(target, timeout=TIMEOUT)
    assert caught.value.server == target


def test_an_abandoned_request_ends(exported):
    """The client reads no further, though the server would send for ever."""
    given_up = threading.Event()

    def send_for_ever(handler, *_):
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b" " * 1000)
                time.sleep(0.001)
        finally:
            given_up.set()

    with rest(exported("tokens")) as (target, instead):
        instead.append(send_for_ever)
        with ends_in_time(), pytest.raises(ServerError, match="no whole answer"):
            StreamingClient(target, timeout=TIMEOUT)
        assert given_up.wait(10)


def of_another_size(tensor):
    tensor.tensor_shape.dim[0].size = 7
    return tensor


def of_no_dtype(tensor):
    tensor.dtype = 0
    return tensor


def cut(tensor):
    tensor.tensor_content = tensor.tensor_content[:-1]
    return tensor


def sleeps(tensor):
    time.sleep(2 * TIMEOUT)
    return tensor


def fails(tensor):
    raise ValueError("out of order")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_another_size, "malformed tensors in the answer of `step`"),
        (of_no_dtype, "malformed tensors in the answer of `step`"),
        (cut, "malformed tensors in the answer of `step`"),
        (sleeps, "`Predict` failed, DEADLINE_EXCEEDED"),
        (fails, "`Predict` failed, UNKNOWN: .*out of order"),
    ],
)
def test_a_failed_step_by_grpc_raises_in_time_and_changes_nothing(
    exported, change, message
):
    import tensorflow as tf

    changes = []

    def spoil(outputs):
        tensors = {n: tf.make_tensor_proto(array) for n, array in outputs.items()}
        for function in changes:
            function(max(tensors.items())[1])
        return tensors

    with grpc_server(exported("tokens"), "reader", spoil) as target:
        client = StreamingClient(target, batch_size=2, timeout=TIMEOUT)
        before = client.state
        changes.append(change)
        with ends_in_time(), pytest.raises(ServerError, match=message) as caught:
            client.step([3, 4])
        assert str(caught.value).startswith(f"{target}: ")
        for name, array in client.state.items():
            np.testing.assert_array_equal(array, before[name])
        changes.clear()
        client.step([3, 4])


def no_metadata(answer):
    answer.metadata.clear()
    return answer


def metadata_of_another_type(answer):
    answer.metadata["signature_def"].type_url = "type.googleapis.com/other"
    return answer


def damaged_metadata(answer):
    answer.metadata["signature_def"].value = b"\xff"
    return answer


@pytest.mark.parametrize(
    "describe", [no_metadata, metadata_of_another_type, damaged_metadata]
)
def test_metadata_by_grpc_that_cannot_be_read_raise(exported, describe):
    with grpc_server(exported("tokens"), "reader", describe=describe) as target:
        with pytest.raises(ServerError, match="malformed metadata") as caught:
            StreamingClient(target)
        assert caught.value.server == target


def test_a_damaged_saved_model_is_named(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(ServerError, match="cannot be loaded") as caught:
        StreamingClient(tmp_path)
    assert caught.value.server == str(tmp_path)


def test_the_error_is_a_runtime_error_that_can_be_pickled():
    error = pickle.loads(pickle.dumps(ServerError("grpc://localhost:1/m", "failed")))
    assert isinstance(error, RuntimeError)
    assert (error.server, error.problem) == ("grpc://localhost:1/m", "failed")
    assert str(error) == "grpc://localhost:1/m: failed"
