"""Training that resumes after its process was killed, as if it had never been.

After each epoch one checkpoint holds everything that the next epochs depend on: the
variables of model and optimizer, the best weights, the log and the state of callbacks.
"""

import os
import pathlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import random_seed
from keras_dnc.files import whole_file
from keras_dnc.training.callbacks import monitored
from keras_dnc.training.checkpoints import Checkpoint
from keras_dnc.training.checkpoints import newest_checkpoint
from keras_dnc.training.checkpoints import write_checkpoint
from keras_dnc.training.data_order import in_order
from keras_dnc.training.run_folder import CHECKPOINTS
from keras_dnc.training.run_folder import write_log

_BEST = "best.weights.h5"
# Attributes of Keras's callbacks that change from epoch to epoch.
_KERAS_STATE = {
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.ModelCheckpoint: ("best",),
}


def fit_or_resume(
    model: keras.Model,
    batches: Any,
    folder: str | os.PathLike,
    monitor: str,
    epochs: int,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    seed: int = 0,
    mode: str = "min",
    **arguments: Any,
) -> list[dict[str, float]]:
    """Run or resume `model.fit`, then load the best weights into the model.

    Called again with the same folder after the process was killed, it continues after
    the last finished epoch, with weights, optimizer, random states, order of the data
    and callbacks as they were, and ends with the weights of a run that was not killed.
    Called again after training has finished, it loads the best weights and does not
    train, unless `epochs` has grown.

    The order of the data follows from `seed` and the epoch, for arrays and for a
    `keras.utils.PyDataset`. A `PyDataset` that changes between epochs has an attribute
    `epoch`, which is set when training begins, or a method `on_epoch_end`, which is
    called once for each epoch that is skipped. A `tf.data.Dataset` must have the same
    order in each epoch to be resumed exactly. At the start of each epoch the global
    random seeds of Python, NumPy and the backend are set from `seed` and the epoch.

    The state of `EarlyStopping`, `ReduceLROnPlateau` and `ModelCheckpoint` is restored,
    and that of every callback with methods `get_state()`, which returns a dict that
    JSON can hold, and `set_state(state)`. Other callbacks start afresh.

    Args:
        model: A compiled `keras.Model`. If training has begun in `folder`, its weights
            are replaced; if not, it trains from those it has.
        batches: Training data, the first argument of `model.fit`, but for a Python
            generator.
        folder: Path of a folder for this run alone, created if it does not exist. It
            holds `log.csv`, with one line per epoch and its duration as `seconds`,
            `best.weights.h5`, and the last two checkpoints. If the newest is damaged,
            the one before it is used, with a warning.
        monitor: Name of the metric that chooses the best weights, such as
            `"val_question_error"`.
        epochs: Maximum number of epochs, over all calls together.
        callbacks: Further Keras callbacks. Defaults to `()`.
        seed: Seed of the order of the data, at least 0. Defaults to 0.
        mode: `"min"` or `"max"`, whether the metric should fall or rise. Of equal
            epochs the last is the best. Defaults to `"min"`.
        **arguments: Further keyword arguments of `model.fit`, such as
            `validation_data` and `verbose`, but for `steps_per_epoch`.

    Returns:
        List of dicts, one per epoch, from the names of metrics to floats.

    Raises:
        ValueError: `epochs` is not a positive integer, `seed` is not an integer of at
            least 0, `mode` is neither `"min"` nor `"max"`, the logs have no metric
            `monitor`, the position in the data could not be restored, training has
            ended and `model` is not built, or the folder holds the run of a model with
            other variables or of an earlier version of this package.
        RuntimeError: Another process trains in this folder.
        OSError: A file cannot be written, as on a full disk. Training can be resumed
            from the last checkpoint.

    Example:
        ```python
        log = keras_dnc.fit_or_resume(
            model, batches, "runs/one", "val_loss", epochs=50, validation_data=held_out
        )
        ```
    """
    positive_integer("epochs", epochs)
    random_seed("seed", seed)
    check_choice("mode", mode, ("min", "max"))
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    batches, arguments = in_order(batches, seed, arguments)
    _refuse_earlier_version(folder)
    with _lock(folder):
        run = _Run(folder, monitor, mode, callbacks)
        if run.epoch < epochs and not run.is_stopped:
            if model.built:
                # Variables that it creates while `fit` is traced are not restored.
                model.optimizer.build(model.trainable_variables)
            _skip_epochs(batches, run.epoch)
            model.fit(
                batches,
                initial_epoch=run.epoch,
                epochs=epochs,
                callbacks=[_EpochStart(seed), *run.callbacks, run],
                **arguments,
            )
        if not model.built:
            raise ValueError(
                "Argument `model` must be built, because training in this folder has "
                "ended: call `model.build`, or begin it with a `keras.Input`. "
                f"Received: model={model!r}, folder={str(folder)!r}"
            )
        _check_shapes(folder, model.weights, run.best)
        model.set_weights(run.best)
        _save_best(model, folder)
        write_log(folder, run.log)
    return run.log


class _EpochStart(keras.callbacks.Callback):
    """A callback that seeds each epoch and adds its duration to the logs."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        (number,) = np.random.SeedSequence([self.seed, epoch]).generate_state(1)
        keras.utils.set_random_seed(int(number))
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None:
            logs["seconds"] = time.perf_counter() - self.started


class _Run(keras.callbacks.Callback):
    """The state of a run: restored when training begins, saved after each epoch.

    It must be the last callback, so that an epoch counts as finished once all others
    have seen its end.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        monitor: str,
        mode: str,
        callbacks: Iterable[keras.callbacks.Callback],
    ) -> None:
        super().__init__()
        self.folder = folder
        self.monitor = monitor
        self.sign = 1.0 if mode == "min" else -1.0  # of a metric to be minimized
        self.callbacks = list(callbacks)
        self.restored = newest_checkpoint(folder / CHECKPOINTS)
        self.epoch, record, arrays = self.restored or Checkpoint(0, {}, {})
        self.log = record.get("log", [])
        self.least = record.get("least", float("inf"))
        self.is_stopped = record.get("is_stopped", False)
        self.best = list(_numbered(arrays, "best"))

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if self.restored is None:
            return
        arrays, variables = self.restored.arrays, _variables(self.model)
        values = list(_numbered(arrays, "variable"))
        _check_shapes(self.folder, variables, values)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        _set_states(self.callbacks, self.restored.record["callbacks"])
        self.restored = None  # frees the arrays

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        value = self.sign * monitored(logs, self.monitor)
        is_best = value <= self.least or not self.best
        if is_best:
            self.least = min(self.least, value)  # not NaN, which nothing is below
            self.best = self.model.get_weights()
        figures = {name: float(figure) for name, figure in (logs or {}).items()}
        self.log.append({"epoch": epoch, **figures})
        self.epoch, self.is_stopped = epoch + 1, self.model.stop_training
        write_checkpoint(self.folder / CHECKPOINTS, self._checkpoint())
        write_log(self.folder, self.log)
        if is_best:
            _save_best(self.model, self.folder)

    def _checkpoint(self) -> Checkpoint:
        """Collect what the next epochs depend on."""
        variables = [
            keras.ops.convert_to_numpy(variable) for variable in _variables(self.model)
        ]
        record = {
            "log": self.log,
            "least": float(self.least),
            "is_stopped": self.is_stopped,
            "callbacks": [[type(one).__name__, _state(one)] for one in self.callbacks],
        }
        arrays = {f"variable{number}": array for number, array in enumerate(variables)}
        arrays |= {f"best{number}": array for number, array in enumerate(self.best)}
        return Checkpoint(self.epoch, record, arrays)


def _save_best(model: keras.Model, folder: pathlib.Path) -> None:
    """Write the weights of a model as the best ones of a run."""
    with whole_file(folder / _BEST) as partial:
        try:
            model.save_weights(partial)
        except RuntimeError as error:  # of h5py, on a full disk
            raise OSError(f"{partial} cannot be written: {error}") from error


def _variables(model: keras.Model) -> list[keras.Variable]:
    """List the variables of a model, random seeds among them, and of its optimizer."""
    return [*model.variables, *model.optimizer.variables]


def _numbered(arrays: dict[str, np.ndarray], name: str) -> Iterator[np.ndarray]:
    """Yield the arrays `name0`, `name1` and so on."""
    number = 0
    while f"{name}{number}" in arrays:
        yield arrays[f"{name}{number}"]
        number += 1


def _check_shapes(
    folder: pathlib.Path,
    variables: Sequence[keras.Variable],
    values: Sequence[np.ndarray],
) -> None:
    """Raise a `ValueError` unless each value fits its variable."""
    kept = [tuple(value.shape) for value in values]
    ours = [tuple(variable.shape) for variable in variables]
    if kept != ours:
        raise ValueError(
            f"Argument `model` must be that of the run in {folder}, whose variables "
            f"have the shapes {kept}. Received: a model with the shapes {ours}"
        )


def _refuse_earlier_version(folder: pathlib.Path) -> None:
    """Raise a `ValueError` if a folder holds a backup of Keras and no checkpoints."""
    is_earlier = (folder / "backup").exists() or (folder / "done").exists()
    if is_earlier and not (folder / CHECKPOINTS).exists():
        raise ValueError(
            "Argument `folder` must not hold a run of an earlier version of keras_dnc, "
            f"which cannot be resumed. Received: folder={str(folder)!r}"
        )


def _skip_epochs(batches: Any, epochs: int) -> None:
    """Advance a dataset that changes between epochs to that of index `epochs`."""
    if hasattr(batches, "epoch"):
        batches.epoch = epochs
    elif isinstance(batches, keras.utils.PyDataset):
        for _ in range(epochs):
            batches.on_epoch_end()


def _state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return what a callback remembers from epoch to epoch."""
    if hasattr(callback, "get_state"):
        return callback.get_state()
    state = {name: getattr(callback, name, None) for name in _names(callback)}
    return {
        name: value if value is None else float(value) for name, value in state.items()
    }


def _set_states(
    callbacks: Iterable[keras.callbacks.Callback], states: list[list[Any]]
) -> None:
    """Restore callbacks; of several of one class, each gets the state of its turn."""
    for callback in callbacks:
        name = type(callback).__name__
        turn = next((i for i, (kind, _) in enumerate(states) if kind == name), None)
        if turn is not None:
            _set_state(callback, states.pop(turn)[1])


def _set_state(callback: keras.callbacks.Callback, state: dict[str, Any]) -> None:
    """Restore what a callback remembers."""
    if hasattr(callback, "set_state"):
        callback.set_state(state)
        return
    for name in _names(callback):
        setattr(callback, name, state[name])


def _names(callback: keras.callbacks.Callback) -> tuple[str, ...]:
    """Name the attributes of one of Keras's callbacks that are its state."""
    for kind, names in _KERAS_STATE.items():
        if isinstance(callback, kind):
            return names
    return ()


def _lock(folder: pathlib.Path) -> Any:
    """Lock a folder until the process ends or leaves the context."""
    import filelock

    lock = filelock.FileLock(folder / "lock", timeout=0)
    try:
        return lock.acquire()
    except filelock.Timeout:
        raise RuntimeError(
            f"Another process trains in the folder {folder}. Wait for its end, or pass "
            "another folder."
        ) from None
