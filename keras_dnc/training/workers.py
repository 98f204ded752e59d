"""Training in several processes: local workers, and files that every strategy reads."""

import contextlib
import importlib.util
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_dnc.arguments import positive_integer
from keras_dnc.files import whole_file

_POLL = 0.1  # seconds between two looks at the workers
_GRACE = 5.0  # seconds that a worker has to end after SIGTERM, before SIGKILL
_EPOCHS = "epochs"  # name in a file of variables, whose other names are indices


def check_backend(strategy: str, backend: str | None, package: str) -> None:
    """Raise an error unless a strategy can run on the current backend.

    Args:
        strategy: Name of the strategy, for the error message.
        backend: Name of the Keras backend that it needs; `None` for any.
        package: Package that it needs, which is also the name of the extra that
            installs it.

    Raises:
        ImportError: The package is not installed.
        ValueError: Keras runs on another backend.

    Example:
        >>> check_backend("one", None, "keras")
    """
    if importlib.util.find_spec(package) is None:
        raise ImportError(
            f"Strategy {strategy!r} needs the package `{package}`: "
            f'pip install "keras_dnc[{package}]"'
        )
    if backend not in (None, keras.backend.backend()):
        raise ValueError(
            f"Argument `strategy` must suit the backend: {strategy!r} needs "
            f"KERAS_BACKEND={backend}. Received: strategy={strategy!r}, "
            f"KERAS_BACKEND={keras.backend.backend()}"
        )


def check_split(batch_size: int, devices: int) -> None:
    """Raise an error unless every device gets the same share of a global batch.

    Shares of different sizes would change the weights: the gradient of the global batch
    is the mean over the devices.

    Args:
        batch_size: Number of sequences in a global batch.
        devices: Number of devices.

    Raises:
        ValueError: An argument is not a positive integer, or `devices` does not divide
            `batch_size`.

    Example:
        >>> check_split(8, 2)
    """
    positive_integer("batch_size", batch_size)
    positive_integer("devices", devices)
    if batch_size % devices:
        raise ValueError(
            "Argument `batch_size` must be a multiple of the number of devices. "
            f"Received: batch_size={batch_size}, devices={devices}"
        )


def save_variables(model: keras.Model, path: str | os.PathLike, epochs: int) -> None:
    """Write the variables of a model and of its optimizer, under any strategy.

    The file is replaced as a whole: a process that is killed leaves the previous one.

    Args:
        model: Compiled `keras.Model`, whose optimizer is built.
        path: Path of an `.npz` file: the variables of the model and then those of the
            optimizer, by index, and the number of epochs. Those in bfloat16 are written
            as float32.
        epochs: Number of epochs that the model has been trained.

    Example:
        >>> import tempfile
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.compile("sgd", "mse")
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.npz"
        >>> load_variables(model, path)  # there is none yet
        0
        >>> save_variables(model, path, epochs=3)
        >>> load_variables(model, path)
        3
    """
    arrays: dict[str, Any] = {_EPOCHS: np.asarray(epochs)}
    for index, variable in enumerate(_variables(model)):
        array = keras.ops.convert_to_numpy(variable)
        is_bfloat16 = array.dtype.kind == "V"  # which NumPy's files do not hold
        arrays[str(index)] = array.astype("float32") if is_bfloat16 else array
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # which adds a suffix to a path


def load_variables(model: keras.Model, path: str | os.PathLike) -> int:
    """Read the variables of a model and of its optimizer, if they have been saved.

    Every process must read the same file. The number of devices and the strategy may be
    others than those of the run that wrote it.

    Args:
        model: Compiled `keras.Model` of the same layers, whose optimizer is built.
        path: Path that `save_variables` has written to.

    Returns:
        Number of epochs that the model has been trained; 0 if there is no such file.

    Raises:
        ValueError: The file is of another model.
    """
    if not os.path.exists(path):
        return 0
    with np.load(path) as saved:
        epochs = int(saved[_EPOCHS])
        arrays = [saved[str(index)] for index in range(len(saved.files) - 1)]
    variables = _variables(model)
    ours, theirs = ([tuple(a.shape) for a in each] for each in (variables, arrays))
    if ours != theirs:
        raise ValueError(
            "Argument `path` must be a file of the same model and optimizer, whose "
            f"variables have the shapes {ours}. Received: path={os.fspath(path)!r} "
            f"with the shapes {theirs}"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return epochs


def _variables(model: keras.Model) -> list[keras.Variable]:
    """List the variables of a model and of its optimizer."""
    return [*model.variables, *model.optimizer.variables]


class SaveVariables(keras.callbacks.Callback):
    """Write the variables of the model and of its optimizer after each epoch.

    Use it in one process alone.

    Args:
        path: Path of an `.npz` file, from which `load_variables` reads.

    Example:
        >>> import tempfile
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.compile("sgd", "mse")
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.npz"
        >>> data = np.ones((4, 3)), np.ones((4, 2))
        >>> fitted = model.fit(
        ...     *data, epochs=2, callbacks=[SaveVariables(path)], verbose=0
        ... )
        >>> load_variables(model, path)
        2
    """

    def __init__(self, path: str | os.PathLike) -> None:
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the file."""
        save_variables(self.model, self.path, epoch + 1)


def largest_difference(path: str | os.PathLike, other: str | os.PathLike) -> float:
    """Compare two files of variables.

    Args:
        path: Path that `save_variables` has written to.
        other: Path of the file to compare with.

    Returns:
        Largest difference within a variable, divided by the largest absolute value of
        that variable in `other`; the maximum over all variables. NaN if any value is.

    Raises:
        ValueError: The files hold other variables, or different numbers of epochs.
    """
    with np.load(path) as ours, np.load(other) as theirs:
        first, second = ({name: file[name] for name in file} for file in (ours, theirs))
    shapes, others = (
        {name: array.shape for name, array in each.items()} for each in (first, second)
    )
    if shapes != others or first[_EPOCHS] != second[_EPOCHS]:
        raise ValueError(
            "Argument `path` must be a file of the same model after the same number of "
            f"epochs as `other`. Received: path={os.fspath(path)!r}, "
            f"other={os.fspath(other)!r}"
        )
    return float(np.max([_relative(first[name], second[name]) for name in first]))


def _relative(array: np.ndarray, other: np.ndarray) -> float:
    """Divide the largest difference of two arrays by the largest value of `other`."""
    scale = np.max(np.abs(other), initial=0.0) or 1.0
    difference = array.astype("float64") - other.astype("float64")
    return float(np.max(np.abs(difference), initial=0.0) / scale)


def worker_index() -> int | None:
    """Return the index of this process among those that train together.

    Returns:
        Index from `TF_CONFIG` or `KERAS_DISTRIBUTION_PROCESS_ID`, or `None` if neither
        names a task. The process of index 0 writes the checkpoints. A chief, if the
        cluster has one, is 0, and the workers count from 1.

    Example:
        >>> worker_index() is None
        True
    """
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    if task := config.get("task"):
        follows_chief = task["type"] == "worker" and "chief" in config["cluster"]
        return int(task["index"]) + follows_chief
    index = os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID")
    return None if index is None else int(index)


def free_addresses(count: int) -> list[str]:
    """Find addresses of this machine at which nothing listens.

    Nothing reserves the ports, so start the processes that listen there soon.

    Args:
        count: Number of addresses.

    Returns:
        List of different strings such as `"127.0.0.1:40123"`.

    Raises:
        ValueError: `count` is not a positive integer.

    Example:
        >>> first, second = free_addresses(2)
        >>> first != second, first.split(":")[0]
        (True, '127.0.0.1')
    """
    positive_integer("count", count)
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))  # the system chooses a free port
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def tf_cluster(count: int) -> list[dict[str, str]]:
    """Build the environments of local workers of TensorFlow.

    Args:
        count: Number of workers.

    Returns:
        One dict per worker with its `TF_CONFIG`, for `run_workers`.

    Raises:
        ValueError: `count` is not a positive integer.

    Example:
        >>> [json.loads(each["TF_CONFIG"])["task"]["index"] for each in tf_cluster(2)]
        [0, 1]
    """
    cluster = {"worker": free_addresses(count)}
    tasks = [{"type": "worker", "index": index} for index in range(count)]
    configs = [json.dumps({"cluster": cluster, "task": task}) for task in tasks]
    return [{"TF_CONFIG": config} for config in configs]


def jax_cluster(count: int) -> list[dict[str, str]]:
    """Build the environments of local workers of JAX.

    Args:
        count: Number of workers.

    Returns:
        One dict per worker, for `run_workers`, with the variables that
        `keras.distribution.initialize()` reads. On CPUs, JAX communicates through Gloo.

    Raises:
        ValueError: `count` is not a positive integer.

    Example:
        >>> [each["KERAS_DISTRIBUTION_PROCESS_ID"] for each in jax_cluster(2)]
        ['0', '1']
    """
    (coordinator,) = free_addresses(1)
    positive_integer("count", count)
    common = {
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": coordinator,
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
    }
    indices = map(str, range(count))
    return [{**common, "KERAS_DISTRIBUTION_PROCESS_ID": index} for index in indices]


def run_workers(
    environments: Sequence[Mapping[str, str]],
    timeout: float | None = None,
    command: Sequence[str] | None = None,
) -> None:
    """Run one process per environment on this machine, and wait until all have ended.

    If a worker fails, the others are stopped: they would wait for it forever. None is
    left when this function returns or raises, also after Ctrl-C.

    Args:
        environments: One dict per worker: environment variables such as `TF_CONFIG`,
            added to those of this process.
        timeout: Seconds after which workers that still run are stopped. Defaults to
            `None`, for no limit.
        command: Program and arguments, which all workers share. Defaults to `None`, for
            the running script with its own arguments.

    Raises:
        ValueError: `environments` is empty, or `timeout` is not above 0.
        RuntimeError: A worker has failed. The message names it, and its exit status or
            signal.
        TimeoutError: Workers still ran after `timeout` seconds. The message names them.

    Example:
        >>> check = "import os; assert os.environ['RANK'] in '01'"
        >>> command = [sys.executable, "-c", check]
        >>> run_workers([{"RANK": "0"}, {"RANK": "1"}], command=command)
    """
    if not environments:
        raise ValueError(
            "Argument `environments` must hold a dict for each worker. "
            f"Received: environments={environments!r}"
        )
    if timeout is not None and not timeout > 0:
        raise ValueError(f"Argument `timeout` must be above 0. Received: {timeout=}")
    command = [sys.executable, *sys.argv] if command is None else list(command)
    workers: list[subprocess.Popen] = []
    try:
        for environment in environments:
            worker = subprocess.Popen(command, env={**os.environ, **environment})
            workers.append(worker)
        _wait(workers, timeout)
    finally:
        _stop(workers)


def _wait(workers: Sequence[subprocess.Popen], timeout: float | None) -> None:
    """Wait until all workers have ended; raise an error if one fails or is late."""
    started = time.monotonic()
    while True:
        codes = [worker.poll() for worker in workers]
        failed = [f"{index} {_end(code)}" for index, code in enumerate(codes) if code]
        if failed:
            raise RuntimeError(f"Of {len(workers)} workers, {_listed(failed)}.")
        running = [str(index) for index, code in enumerate(codes) if code is None]
        if not running:
            return
        if timeout is not None and time.monotonic() - started > timeout:
            raise TimeoutError(
                f"Of {len(workers)} workers, {_listed(running)} still ran after "
                f"{timeout} s."
            )
        time.sleep(_POLL)


def _listed(workers: Sequence[str]) -> str:
    """Join descriptions of workers: `worker 0, worker 1`."""
    return ", ".join(f"worker {worker}" for worker in workers)


def _end(code: int) -> str:
    """Say how a process ended whose return code is not 0."""
    if code > 0:
        return f"failed with exit status {code}"
    return f"was killed by {signal.Signals(-code).name}"


def _stop(workers: Sequence[subprocess.Popen]) -> None:
    """End the workers that still run, and wait until they have ended."""
    running = [worker for worker in workers if worker.poll() is None]
    for worker in running:
        worker.terminate()
    deadline = time.monotonic() + _GRACE
    for worker in running:
        try:
            worker.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
