"""Worker processes end together, and files of variables are never partly written."""

import json
import os
import signal
import sys
import time

import keras
import numpy as np
import pytest

from keras_dnc.training import workers

WAIT = "import time; time.sleep(60)"


def command_of(program):
    return [sys.executable, "-c", program]


def model_of(units=2):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def test_each_worker_gets_its_environment(tmp_path):
    program = "import os, pathlib; pathlib.Path(os.environ['FILE']).touch()"
    files = [tmp_path / "first", tmp_path / "second"]
    environments = [{"FILE": str(file)} for file in files]
    workers.run_workers(environments, command=command_of(program))
    assert all(file.exists() for file in files)


@pytest.mark.parametrize(
    "end,words",
    [
        ("os._exit(3)", "worker 1 failed with exit status 3"),
        ("os.kill(os.getpid(), 9)", "worker 1 was killed by SIGKILL"),
    ],
)
def test_a_worker_that_fails_is_named_and_the_others_are_stopped(end, words):
    program = f"import os\nif os.environ['INDEX'] == '1': {end}\n{WAIT}"
    started = time.monotonic()
    with pytest.raises(RuntimeError, match=f"Of 2 workers, {words}"):
        workers.run_workers(
            [{"INDEX": "0"}, {"INDEX": "1"}], command=command_of(program)
        )
    assert time.monotonic() - started < 30


def test_workers_that_are_late_are_named():
    program = f"import os\nif os.environ['INDEX'] == '0': {WAIT}"
    with pytest.raises(TimeoutError, match="Of 2 workers, worker 0 still ran"):
        workers.run_workers([{"INDEX": "0"}, {"INDEX": "1"}], 5.0, command_of(program))


def test_a_worker_that_ignores_sigterm_is_killed(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "_GRACE", 0.2)
    pid = tmp_path / "pid"
    program = f"""
import os, pathlib, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))
{WAIT}
"""
    with pytest.raises(TimeoutError):
        workers.run_workers([{}], 5.0, command_of(program))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), signal.SIG_DFL)


def test_the_index_comes_from_the_environment_of_a_cluster(monkeypatch):
    assert workers.worker_index() is None
    for cluster in (workers.tf_cluster, workers.jax_cluster):
        for index, environment in enumerate(cluster(3)):
            with monkeypatch.context() as patch:
                for name, value in environment.items():
                    patch.setenv(name, value)
                assert workers.worker_index() == index


@pytest.mark.parametrize(
    "task, index",
    [(("chief", 0), 0), (("worker", 0), 1), (("worker", 2), 3), (None, None)],
)
def test_a_chief_is_the_process_of_index_0(task, index, monkeypatch):
    config = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1", "d:1"]}}
    if task is not None:
        config["task"] = dict(zip(("type", "index"), task, strict=True))
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert workers.worker_index() == index


def test_all_workers_know_one_cluster():
    configs = [json.loads(each["TF_CONFIG"]) for each in workers.tf_cluster(3)]
    first, *others = [config["cluster"]["worker"] for config in configs]
    assert len(set(first)) == 3 and all(other == first for other in others)


def test_variables_come_back_with_the_optimizer(tmp_path):
    path = tmp_path / "folder" / "model.npz"
    model = model_of()
    data = np.ones((4, 3)), np.ones((4, 2))
    model.fit(*data, epochs=2, callbacks=[workers.SaveVariables(path)], verbose=0)
    other = model_of()
    assert workers.load_variables(other, path) == 2
    for again in (model, other):
        again.fit(*data, verbose=0)
    for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_save_that_fails_leaves_the_file_before(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    model = model_of()
    workers.save_variables(model, path, 1)

    def fail(file, **arrays):
        file.write(b"partly")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="No space"):
        workers.save_variables(model, path, 2)
    assert workers.load_variables(model, path) == 1


def test_variables_in_bfloat16_come_back(tmp_path):
    layers = [keras.Input((3,)), keras.layers.Dense(2, dtype="bfloat16")]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    expected = [keras.ops.convert_to_numpy(each) for each in model.variables]
    workers.save_variables(model, tmp_path / "model.npz", 1)
    model.set_weights([0.0 * each for each in expected])
    assert workers.load_variables(model, tmp_path / "model.npz") == 1
    for variable, value in zip(model.variables, expected, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)


def test_a_difference_of_nan_is_not_passed_over(tmp_path):
    model = model_of()
    for name, value in (("one.npz", 1.0), ("two.npz", np.nan)):
        model.trainable_variables[1].assign(np.full((2,), value))
        workers.save_variables(model, tmp_path / name, 1)
    found = workers.largest_difference(tmp_path / "two.npz", tmp_path / "one.npz")
    assert np.isnan(found)


def test_the_largest_difference_is_relative_to_each_variable(tmp_path):
    model = model_of()
    kernel, bias = model.trainable_variables
    for path, value in ((tmp_path / "one.npz", 8.0), (tmp_path / "two.npz", 8.5)):
        kernel.assign(np.full((3, 2), value))
        workers.save_variables(model, path, 1)
    assert workers.largest_difference(tmp_path / "two.npz", tmp_path / "one.npz") == (
        0.5 / 8.0
    )


@pytest.mark.parametrize(
    "call,error,words",
    [
        (lambda: workers.run_workers([]), ValueError, "`environments` must hold"),
        (lambda: workers.run_workers([{}], 0), ValueError, "`timeout` must be above"),
        (lambda: workers.free_addresses(0), ValueError, "`count` must be a positive"),
        (lambda: workers.jax_cluster(0), ValueError, "`count` must be a positive"),
        (lambda: workers.check_split(7, 2), ValueError, "batch_size=7, devices=2"),
        (lambda: workers.check_split(8, 0), ValueError, "`devices` must be a positive"),
        (
            lambda: workers.check_backend("x", "cntk", "keras"),
            ValueError,
            "'x' needs KERAS_BACKEND=cntk. Received: strategy='x'",
        ),
        (
            lambda: workers.check_backend("x", None, "no_such_package"),
            ImportError,
            r'pip install "keras_dnc\[no_such_package\]"',
        ),
    ],
)
def test_bad_arguments_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_files_of_other_models_are_refused(tmp_path):
    first, second, later = (tmp_path / name for name in ("1.npz", "2.npz", "3.npz"))
    workers.save_variables(model_of(), first, 1)
    two = keras.Sequential([keras.Input((3,)), *map(keras.layers.Dense, (2, 2))])
    two.compile("adam", "mse")
    two.optimizer.build(two.trainable_variables)
    workers.save_variables(two, second, 1)
    with pytest.raises(ValueError, match="must be a file of the same model"):
        workers.load_variables(model_of(), second)
    with pytest.raises(ValueError, match="must be a file of the same model"):
        workers.largest_difference(first, second)
