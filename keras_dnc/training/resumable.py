"""Training that resumes after its process was killed.

`keras.callbacks.BackupAndRestore` restores the model and the epoch, but neither which
epoch was the best nor whether training has finished. Here a folder keeps both.
"""

import csv
import json
import os
import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_dnc.arguments import positive_integer
from keras_dnc.backend.keras_internals import resumes_at
from keras_dnc.training.callbacks import monitored

_NO_VALUE = "NA"  # written by `CSVLogger` for a metric that an epoch does not have


def fit_or_resume(
    model: keras.Model,
    batches: Any,
    folder: str | os.PathLike,
    monitor: str,
    epochs: int,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    **arguments: Any,
) -> list[dict[str, float]]:
    """Run or resume `model.fit`, then load the best weights into the model.

    Called again with the same folder after the process was killed, it continues after
    the last finished epoch, with the optimizer and learning rate restored. Called again
    after training has finished, it loads the best weights and does not train. Pass a
    newly built model each time. The order of batches is not restored.

    Args:
        model: A compiled and built `keras.Model` that this process has not trained.
        batches: Training data, the first argument of `model.fit`.
        folder: Path of a folder for this run alone, created if it does not exist. It
            holds `log.csv`, with one line per epoch and its duration as `seconds`, and
            `best.weights.h5`.
        monitor: Name of the metric to minimize, such as `"val_question_error"`.
        epochs: Maximum number of epochs, over all calls together.
        callbacks: Further Keras callbacks, such as `EarlyStopping`, whose patience
            restarts in a resumed run. Defaults to `()`.
        **arguments: Further keyword arguments of `model.fit`, such as
            `validation_data` and `verbose`.

    Returns:
        List of dicts, one per epoch, from the names of metrics to floats.

    Raises:
        ValueError: `epochs` is not a positive integer, the logs have no metric
            `monitor`, or the model has already been restored from a backup.

    Example:
        ```python
        log = keras_dnc.fit_or_resume(
            model, batches, "runs/one", "val_loss", epochs=50, validation_data=held_out
        )
        ```
    """
    positive_integer("epochs", epochs)
    if resumes_at(model) is not None:  # Keras would restart at that epoch
        raise ValueError(
            "Argument `model` must be a new one: this one goes on from a backup. "
            f"Received: model={model!r}"
        )
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    done, best = folder / "done", folder / "best.weights.h5"
    if model.built:
        # Variables that the optimizer creates while `fit` is traced are not restored.
        model.optimizer.build(model.trainable_variables)
    if not done.exists():
        all_callbacks = [*callbacks, *_folder_callbacks(folder, best, monitor)]
        model.fit(batches, epochs=epochs, callbacks=all_callbacks, **arguments)
        done.touch()
    model.load_weights(best)
    return read_log(folder)


def _folder_callbacks(
    folder: pathlib.Path, best: pathlib.Path, monitor: str
) -> list[keras.callbacks.Callback]:
    """Build the callbacks that write log, best weights and backup."""
    return [
        _EpochSeconds(),
        _BestWeights(best, monitor, read_log(folder)),
        keras.callbacks.CSVLogger(folder / "log.csv", append=True),
        # Last: an epoch counts as finished once all others have recorded it.
        keras.callbacks.BackupAndRestore(
            folder / "backup", double_checkpoint=True, delete_checkpoint=False
        ),
    ]


def read_log(folder: str | os.PathLike) -> list[dict[str, float]]:
    """Read the metrics of a run that `fit_or_resume` trains.

    Args:
        folder: Path of the folder passed to `fit_or_resume`.

    Returns:
        List of dicts, one per epoch, from the names of metrics to floats; empty before
        the first epoch has ended.
    """
    path = pathlib.Path(folder) / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = {row["epoch"]: row for row in csv.DictReader(file)}  # the last of each
    return [
        {name: float(text) for name, text in row.items() if text != _NO_VALUE}
        for row in rows.values()
    ]


def check_settings(
    path: pathlib.Path, settings: dict[str, Any], free: Iterable[str] = ()
) -> None:
    """Write the settings of a run to a file, or check them against that file.

    Args:
        path: `pathlib.Path` of a JSON file, written if it does not exist.
        settings: Dict of settings. Values that JSON cannot hold are kept as text.
        free: Names of settings that may change, such as the path of the data. Defaults
            to `()`.

    Raises:
        ValueError: The file holds other settings.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "config.json"
        >>> check_settings(path, {"units": 64, "data": "a"}, free=["data"])
        >>> check_settings(path, {"units": 64, "data": "b"}, free=["data"])
    """
    text = json.dumps(settings, indent=1, default=str)
    if not path.exists():
        path.write_text(text + "\n")
        return
    kept, ours = json.loads(path.read_text()), json.loads(text)
    names = [name for name in kept.keys() | ours.keys() if name not in free]
    others = sorted(name for name in names if kept.get(name) != ours.get(name))
    if others:
        was, now = ({name: a.get(name) for name in others} for a in (kept, ours))
        raise ValueError(
            f"Argument `settings` must be those of the run in {path.parent}, which has "
            f"{was}, or the output another folder. Received: {now}"
        )


class _BestWeights(keras.callbacks.Callback):
    """A callback that saves the weights of the best epoch of all runs so far."""

    def __init__(
        self, path: pathlib.Path, monitor: str, log: Iterable[Mapping[str, float]]
    ) -> None:
        super().__init__()
        self.path = path
        self.monitor = monitor
        values = [row[monitor] for row in log if monitor in row]
        self.least = min(values, default=float("inf"))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        value = monitored(logs, self.monitor)
        if value < self.least or not self.path.exists():
            self.least = value
            save_weights_whole(self.model, self.path)


class _EpochSeconds(keras.callbacks.Callback):
    """A callback that adds the duration of an epoch to the logs, as `seconds`."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None:
            logs["seconds"] = time.perf_counter() - self.started


def save_weights_whole(model: keras.Model, path: pathlib.Path) -> None:
    """Save weights to a file that is never left partly written.

    Args:
        model: Keras model.
        path: `pathlib.Path` that ends in `.weights.h5`; replaced if it exists.
    """
    partial = path.with_name(f"partial-{path.name}")
    model.save_weights(partial)
    os.replace(partial, path)
