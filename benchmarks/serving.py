"""An export behind a web server, asked by many at once: latency, and requests a second.

    python benchmarks/serving.py --export saved_models/copy-ntm/serving/1 --seconds 30

BentoML serves it (`examples/serving/service.py`) in a process of its own, and takes
JSON and the bytes of `.npy` files. Every answer is compared with what the SavedModel
gives in this process; an error or another answer ends the run. `--page` writes the
figures into `README.md`.
"""

import argparse
import concurrent.futures
import contextlib
import io
import json
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
import requests
from machine import needs
from machine import stamp
from page import stamped
from page import write_figures

HERE = pathlib.Path(__file__).parent
SERVICE = HERE.parent / "examples" / "serving"
PATIENCE = 120  # seconds for the server to come up
WARM_UP = 5.0  # seconds of load that are not counted; each shape is compiled in them
# Of the largest output. XLA rounds otherwise than the operations one by one, and a few
# random sequences amplify rounding; on average there must be little of it.
FAR, ON_AVERAGE = 1e-2, 1e-4


def parse_arguments():
    """Return the command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--export", required=True, type=pathlib.Path, help="folder of a SavedModel")
    add("--seconds", default=30.0, type=float, help="of load, for each row")
    add("--batch-sizes", default=[1, 32], type=json.loads)
    add("--clients", default=4, type=int, help="that ask at the same time")
    add("--time", default=20, type=int, help="steps of a sequence")
    add("--output", default=None, type=pathlib.Path, help="JSON of the figures")
    add("--page", action="store_true", help="write the figures into README.md")
    return parser.parse_args()


@contextlib.contextmanager
def server(export):
    """Serve an export; yield its address."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    settings = {"MODEL": str(export.absolute()), "BENTOML_DO_NOT_TRACK": "True"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", "service:MemoryNetwork"]
            + ["--working-dir", str(SERVICE), "--port", str(port)],
            env={**os.environ, **settings, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=log,
            stderr=log,
            start_new_session=True,  # so that its workers end with it
        )
        try:
            wait_for(f"http://localhost:{port}/readyz", process, log)
            yield f"http://localhost:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def wait_for(url, process, log):
    """Return once the server answers; else say what it wrote."""
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE and process.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(url, timeout=5).ok:
                return
        time.sleep(0.5)
    log.seek(0)
    said = log.read().decode()[-2000:]
    raise RuntimeError(f"The server did not come up in {PATIENCE} s:\n{said}")


def requests_and_answers(export, batch_size, length, count=4):
    """Make a few requests, and what the SavedModel answers here."""
    import tensorflow as tf  # the clients' processes do without

    loaded = tf.saved_model.load(str(export))
    serve = loaded.signatures["serving_default"]
    spec = serve.structured_input_signature[1]["inputs"]
    rng = np.random.default_rng(batch_size)
    pairs = []
    for _ in range(count):
        inputs = rng.integers(0, 2, (batch_size, length, *spec.shape[2:]))
        inputs = inputs.astype(spec.dtype.as_numpy_dtype)
        pairs.append((inputs, serve(inputs=tf.constant(inputs))["outputs"].numpy()))
    return pairs


def ask_in_json(session, url, inputs):
    """Ask `/predict`, with nested lists."""
    body = {"inputs": inputs.tolist()}
    answer = session.post(f"{url}/predict", json=body, timeout=60)
    answer.raise_for_status()
    return np.array(answer.json())


def ask_in_npy(session, url, inputs):
    """Ask `/npy/predict`, with arrays as they are in a file."""
    body = io.BytesIO()
    np.save(body, inputs)
    answer = session.post(f"{url}/npy/predict", data=body.getvalue(), timeout=60)
    answer.raise_for_status()
    return np.load(io.BytesIO(answer.content))


FORMS = {"JSON": ask_in_json, "npy": ask_in_npy}


def ask_until(url, form, pairs, end):
    """Send one request after another; return the seconds of each."""
    session, seconds = requests.Session(), []
    while time.monotonic() < end:
        inputs, expected = pairs[len(seconds) % len(pairs)]
        started = time.perf_counter()
        outputs = FORMS[form](session, url, inputs)
        seconds.append(time.perf_counter() - started)
        check(outputs, expected)
    return seconds


def check(outputs, expected):
    """Refuse an answer that is not the SavedModel's."""
    assert outputs.shape == expected.shape
    differences = np.abs(outputs - expected) / np.max(np.abs(expected))
    assert np.max(differences) <= FAR  # also refuses NaN
    assert np.mean(differences) <= ON_AVERAGE


def refusals(url, pairs):
    """Send invalid requests; return the codes, and check that it still answers."""
    inputs = pairs[0][0].tolist()
    bad = {"rank": inputs[0], "words": [["a"]], "nothing": None}
    codes = {}
    for name, body in bad.items():
        answer = requests.post(f"{url}/predict", json={"inputs": body}, timeout=60)
        codes[name] = answer.status_code
    answer = requests.post(f"{url}/npy/predict", data=b"not a file", timeout=60)
    codes["no file"] = answer.status_code
    for form in FORMS:
        ask_until(url, form, pairs, time.monotonic() + 0.1)
    return codes


def load(pool, clients, seconds, *request):
    """Send requests from several processes; return the figures of a table's row."""
    for duration in (WARM_UP, seconds):
        start = time.monotonic()
        end = start + duration
        asking = [pool.submit(ask_until, *request, end) for _ in range(clients)]
        latencies = np.concatenate([future.result() for future in asking])
        lasted = time.monotonic() - start  # the last answers come after the end
    p50, p95, p99 = (1000 * np.percentile(latencies, p) for p in (50, 95, 99))
    return {
        "requests": len(latencies),
        "requests_per_second": len(latencies) / lasted,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
    }


def tables(found):
    """Yield the lines of a page's table."""
    yield from stamped(found.get("stamp"))
    yield "| batch, form | requests | a second | p50, ms | p95, ms | p99, ms |"
    yield "|---|---|---|---|---|---|"
    for name, row in found.items():
        if name not in ("refused", "stamp"):
            figures = " | ".join(f"{row[key]:.1f}" for key in list(row)[1:])
            yield f"| {name} | {row['requests']:,} | {figures} |"


def main():
    """Serve, load, print the figures."""
    needs("bentoml")
    settings = parse_arguments()
    clients, found = settings.clients, {"stamp": stamp()}
    # Threads would wait for each other at Python's lock, while they read long answers.
    spawn = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(clients, spawn)
    with server(settings.export) as url, pool:
        for size in settings.batch_sizes:
            pairs = requests_and_answers(settings.export, size, settings.time)
            for form in FORMS:
                row = load(pool, clients, settings.seconds, url, form, pairs)
                found[f"{size}, {form}"] = row
        found["refused"] = refusals(url, pairs)
    print(*tables(found), f"refused: {found['refused']}", sep="\n")
    if settings.output:
        settings.output.write_text(json.dumps(found, indent=1) + "\n")
    if settings.page:
        write_figures(tables(found), "serving", HERE)


if __name__ == "__main__":
    main()
