"""Each strategy of `examples/train_distributed.py` ends with one device's weights.

Each run is a process of its own: devices are counted once, where a process starts.
"""

import importlib.util
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytestmark = pytest.mark.only("tensorflow")  # each run sets its own backend
SCRIPT = pathlib.Path(__file__).parent.parent / "examples" / "train_distributed.py"
SMALL = ["--steps", "2", "--epochs", "2", "--batch-size", "4"]
STRATEGIES = {
    "keras": "jax",
    "mirrored": "tensorflow",
    "multiworker": "tensorflow",
    "jax": "jax",
    "ray": "tensorflow",
}
HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray Train (extra `ray`) is missing")


def environment_of(backend):
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = {**os.environ, "KERAS_BACKEND": backend, **quick}
    environment.pop("XLA_FLAGS", None)
    return environment


def command_of(folder, strategy, *arguments):
    return [
        *(sys.executable, str(SCRIPT), "--strategy", strategy),
        *("--output", str(folder), *arguments),
    ]


def run(command, backend, code=0):
    done = subprocess.run(
        command,
        env=environment_of(backend),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout + done.stderr


def difference_to_one_device(folder, strategy, arguments):
    """Train on one device and with a strategy; return what the script measures."""
    backend = STRATEGIES[strategy]
    run(command_of(folder, "one", *arguments), backend)
    said = run(command_of(folder, strategy, *arguments), backend)
    return difference_in(said)


def difference_in(said):
    return float(re.search(r"relative difference to one device (\S+)", said)[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy,count",
    [
        ("keras", "keras.distribution.distribution().num_model_replicas"),
        ("mirrored", "len(tensorflow.config.list_logical_devices())"),
    ],
    ids=["keras", "mirrored"],
)
def test_two_devices_end_with_the_weights_of_one(tmp_path, strategy, count):
    backend = STRATEGIES[strategy]
    run(command_of(tmp_path, "one", *SMALL), backend)
    _, *arguments = command_of(tmp_path, strategy, *SMALL)
    program = f"""
import runpy, sys
sys.argv = {arguments!r}
runpy.run_path(sys.argv[0], run_name="__main__")
import {count.split(".")[0].replace("len(", "")}
assert {count} == 2
"""
    said = run([sys.executable, "-c", program], backend)
    assert difference_in(said) < 1e-5


@pytest.mark.soak
@pytest.mark.parametrize(
    "strategy", ["multiworker", "jax", pytest.param("ray", marks=needs_ray)]
)
def test_two_processes_end_with_the_weights_of_one(tmp_path, strategy):
    assert difference_to_one_device(tmp_path, strategy, SMALL) < 1e-5


def descendants_of(process):
    """List the processes that a process has started, and those that they have."""
    found = [process]
    for each in found:
        for children in pathlib.Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found.extend(map(int, children.read_text().split()))
            except OSError:  # a thread that has ended
                continue
    return found[1:]


def read(process, name):
    try:
        return pathlib.Path(f"/proc/{process}/{name}").read_bytes().decode()
    except OSError:  # it has ended
        return ""


def kill_a_worker(command, backend, is_victim):
    """Kill a worker once a checkpoint is there; return how and when the parent ends."""
    path = path_of(command, backend)
    with open(path.with_suffix(".log"), "w+") as log:
        parent = subprocess.Popen(
            command, env=environment_of(backend), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            while not path.exists():
                log.seek(0)
                assert parent.poll() is None, log.read()[-3000:]
                time.sleep(0.02)
            workers = descendants_of(parent.pid)
            victim = next(worker for worker in workers if is_victim(worker))
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            code = parent.wait(timeout=400)
        finally:
            parent.kill()
        log.seek(0)
        return code, log.read(), time.monotonic() - killed, workers


def path_of(command, backend):
    folder = pathlib.Path(command[command.index("--output") + 1])
    return folder / f"{command[command.index('--strategy') + 1]}-{backend}.npz"


LONG = ["--steps", "1", "--epochs", "30", "--batch-size", "4"]


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize(
    "strategy,name",
    [("multiworker", '"index": 1'), ("jax", "KERAS_DISTRIBUTION_PROCESS_ID=1")],
    ids=["multiworker", "jax"],  # pytest puts the id into the environment
)
def test_a_killed_worker_ends_the_run_which_goes_on_later(tmp_path, strategy, name):
    backend = STRATEGIES[strategy]
    run(command_of(tmp_path, "one", *LONG), backend)
    command = command_of(tmp_path, strategy, *LONG)
    code, said, seconds, workers = kill_a_worker(
        command, backend, lambda worker: name in read(worker, "environ")
    )
    assert code == 1
    assert "RuntimeError: Of 2 workers, worker 1 was killed by SIGKILL" in said
    assert seconds < 60
    assert not any(read(worker, "cmdline") for worker in workers)
    with np.load(path_of(command, backend)) as saved:
        assert 1 <= saved["epochs"] < 30
    assert difference_in(run(command, backend)) < 1e-5


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@needs_ray
def test_ray_goes_on_when_a_worker_is_killed(tmp_path):
    run(command_of(tmp_path, "one", *LONG), "tensorflow")
    code, said, _, _ = kill_a_worker(
        command_of(tmp_path, "ray", *LONG),
        "tensorflow",
        lambda worker: "RayTrainWorker" in read(worker, "cmdline"),
    )
    assert code == 0, said[-3000:]
    assert difference_in(said) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy,backend,arguments,words",
    [
        (
            "mirrored",
            "tensorflow",
            ["--batch-size", "7"],
            "Argument `batch_size` must be a multiple of the number of devices. "
            "Received: batch_size=7, devices=2",
        ),
        (
            "keras",
            "tensorflow",
            [],
            "Argument `strategy` must suit the backend: 'keras' needs "
            "KERAS_BACKEND=jax. Received: strategy='keras', KERAS_BACKEND=tensorflow",
        ),
        pytest.param(
            *("ray", "tensorflow", []),
            "Strategy 'ray' needs the package `ray`: pip install \"keras_dnc[ray]\"",
            marks=pytest.mark.skipif(HAS_RAY, reason="Ray is installed"),
        ),
    ],
)
def test_bad_settings_are_refused(tmp_path, strategy, backend, arguments, words):
    command = command_of(tmp_path, strategy, *arguments)
    assert words in run(command, backend, code=1)


STATEFUL = """
import sys
import keras, keras_dnc, numpy as np

rng = np.random.default_rng(0)
data = rng.normal(size=(12, 5, 3)), rng.normal(size=(12, 5, 2))

def fit(batch_size):
    keras.utils.set_random_seed(0)
    cell = keras_dnc.DNCCell(2, controller=6, memory_size=4, word_size=3)
    layer = keras_dnc.MemoryRNN(cell, return_sequences=True, stateful=True)
    inputs = keras.Input(batch_shape=(batch_size, 5, 3))
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse", jit_compile=keras.backend.backend() == "jax")
    model.fit(*data, batch_size=4, shuffle=False, verbose=0)
    return model, layer.states

def assert_close(states, others):
    for state, other in zip(states, others, strict=True):
        assert np.any(other) or keras.backend.backend() == "jax"
        np.testing.assert_allclose(state, other, rtol=1e-5, atol=1e-6)

model, states = fit(4)
weights, states = model.get_weights(), [s.numpy() for s in states]
"""


@pytest.mark.slow
def test_a_stateful_layer_trains_in_data_parallel_on_jax_as_on_one_device():
    """Keras's `fit` on JAX starts every batch at zero states, on one device too."""
    program = f"""
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
{STATEFUL}
with keras.distribution.DataParallel().scope():
    model, others = fit(4)
assert others[0].value.sharding.num_devices == 2
assert_close([np.asarray(other) for other in others], states)
assert_close(model.trainable_weights, weights[: len(model.trainable_weights)])
"""
    run([sys.executable, "-c", program], "jax")


@pytest.mark.slow
def test_a_stateful_layer_has_the_share_of_a_replica_under_mirrored_strategy():
    program = f"""
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
parts = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, parts)
{STATEFUL}
with tf.distribute.MirroredStrategy().scope():
    model, others = fit(2)
assert_close([np.concatenate(other.value.values) for other in others], states)
assert_close(model.trainable_weights, weights[: len(model.trainable_weights)])
try:
    with tf.distribute.MirroredStrategy().scope():
        fit(4)
except ValueError as error:
    assert "Received batch size: 2" in str(error)
else:
    raise AssertionError("a state of the global batch")
"""
    run([sys.executable, "-c", program], "tensorflow")
