"""Training that a killed process goes on with.

`keras.callbacks.BackupAndRestore` alone loses what other callbacks know: which epoch
was the best one, and that training is over. A folder keeps that here, too.
"""

import csv
import json
import os
import pathlib
import time
from collections.abc import Iterable
from typing import Any

import keras

from keras_dnc.arguments import positive_integer
from keras_dnc.backend.keras_internals import resumes_at
from keras_dnc.training.callbacks import monitored

_NO_FIGURE = "NA"  # what `CSVLogger` writes of an epoch without validation


def fit_or_resume(
    model: keras.Model,
    batches: Any,
    folder: str | os.PathLike,
    monitor: str,
    epochs: int,
    callbacks: Iterable = (),
    **arguments: Any,
) -> list[dict[str, float]]:
    """Run `model.fit`, or go on with it, and give the model its best weights.

    Called again with the same folder after a process was killed, it goes on after the
    last finished epoch, optimizer and learning rate as they were; called again when
    training is over, it loads the best weights and trains nothing. The model has to be
    a new one each time. The order of batches is drawn anew.

    Args:
        model: A compiled, built `keras.Model`, not yet trained by this process.
        batches: As in `model.fit`.
        folder: Path of a folder for this training alone; made if there is none. Holds
            `log.csv`, a line an epoch with `seconds` among the figures, and
            `best.weights.h5`.
        monitor: Name of the figure of which the least is best, such as
            `"val_question_error"`.
        epochs: At most so many.
        callbacks: Other Keras callbacks, such as `EarlyStopping`, whose patience starts
            anew in a run that goes on.
        **arguments: As in `model.fit`: `validation_data`, `verbose`, ...

    Returns:
        List of dicts, one an epoch: the figures in `log.csv`, as floats.

    Raises:
        ValueError: `epochs` is no positive integer, the logs have no `monitor`, or the
            model has been trained from a backup before.

    Example:
        ```python
        log = keras_dnc.fit_or_resume(
            model, batches, "runs/one", "val_loss", epochs=50, validation_data=held_out
        )
        ```
    """
    positive_integer("epochs", epochs)
    if resumes_at(model) is not None:  # Keras would begin at that epoch again
        raise ValueError(
            "Argument `model` must be a new one: this one goes on from a backup. "
            f"Received: model={model!r}"
        )
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    done, best = folder / "done", folder / "best.weights.h5"
    if model.built:
        # Else its optimizer gets variables while `fit` is traced, and that begins anew.
        model.optimizer.build(model.trainable_variables)
    if not done.exists():
        kept = [
            *callbacks,
            _Seconds(),
            _Best(best, monitor, read_log(folder)),
            keras.callbacks.CSVLogger(folder / "log.csv", append=True),
            # Last: an epoch counts as finished when all others have written it down.
            keras.callbacks.BackupAndRestore(
                folder / "backup", double_checkpoint=True, delete_checkpoint=False
            ),
        ]
        model.fit(batches, epochs=epochs, callbacks=kept, **arguments)
        done.touch()
    model.load_weights(best)
    return read_log(folder)


def read_log(folder: str | os.PathLike) -> list[dict[str, float]]:
    """Give the epochs of a training, a list of dicts from a figure's name to it.

    Args:
        folder: The folder that `fit_or_resume` was given.

    Returns:
        List of dicts, figures as floats; empty before the first epoch has ended.
    """
    path = pathlib.Path(folder) / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = {row["epoch"]: row for row in csv.DictReader(file)}  # the last of each
    return [
        {name: float(text) for name, text in row.items() if text != _NO_FIGURE}
        for row in rows.values()
    ]


def check_settings(
    path: pathlib.Path, settings: dict, free: Iterable[str] = ()
) -> None:
    """Keep the settings of a run in a file, or refuse to go on with others.

    Args:
        path: `pathlib.Path` of a JSON file, written if there is none.
        settings: Dict of what JSON holds; anything else is kept as its text.
        free: Names of those that may change, such as where the data is.

    Raises:
        ValueError: The file holds other settings.

    Example:
        ```python
        keras_dnc.check_settings(folder / "config.json", vars(settings), ("data",))
        ```
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


class _Best(keras.callbacks.Callback):
    """Keeps the weights of the best epoch, those before a restart included."""

    def __init__(self, path, monitor, log):
        super().__init__()
        self.path = path
        self.monitor = monitor
        figures = [row[monitor] for row in log if monitor in row]
        self.least = min(figures, default=float("inf"))

    def on_epoch_end(self, epoch, logs=None):
        figure = monitored(logs, self.monitor)
        if figure < self.least or not self.path.exists():
            self.least = figure
            save_weights_whole(self.model, self.path)


class _Seconds(keras.callbacks.Callback):
    """Adds to the logs how long an epoch took."""

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = time.perf_counter() - self.started


def save_weights_whole(model, path):
    """Write a file of weights that is never there in part."""
    partial = path.with_name(f"partial-{path.name}")
    model.save_weights(partial)
    os.replace(partial, path)
