"""Kill a small run, resume it to its end, and save the weights it ends with.

    python killed_run.py FOLDER KILL [KILL ...]

Each KILL has a run of its own, in FOLDER/KILL, which ends with `weights.npz` there. The
run in FOLDER/never is not killed. A KILL is `call:N`, before the call of index N of a
function that changes files, or `times:SEED`, at random moments, again and again until
the run ends. The number of kills is printed. Runs are forked from a process that has
imported Keras and has not used it.
"""

import os
import pathlib
import signal
import sys
import time

import keras
import numpy as np

import keras_dnc
from keras_dnc.tasks.copy import CopyTask
from keras_dnc.tasks.levels import Levels

# Functions that change a file's content or name.
FUNCTIONS = ("open", "fsync", "replace", "unlink")
EPOCHS = 4
LATEST = 1.2  # of the duration of a run that is not killed, the latest random kill


def count_down(moment):
    """Replace the functions of `os` by ones that kill the process at a moment."""
    calls = iter(range(moment, -1, -1))

    def killing(function):
        def call(*arguments, **options):
            if moment >= 0 and next(calls) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in FUNCTIONS:
        setattr(os, name, killing(getattr(os, name)))


def new_model(task):
    keras.utils.set_random_seed(5)
    layers = [
        keras.Input((None, task.observation_size)),
        keras.layers.Dense(6, "tanh"),
        keras.layers.Dropout(0.2),  # has a random state of its own
        keras.layers.Dense(task.target_size),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.01), keras_dnc.SequenceCrossentropy())
    return model


def run(folder, epochs=EPOCHS):
    levels = Levels([CopyTask(2, max_length=1), CopyTask(2, max_length=2)])
    model = new_model(levels)
    log = keras_dnc.fit_or_resume(
        model,
        levels.dataset(batch_size=4, steps=3, seed=7),
        folder,
        "val_loss",
        epochs,
        callbacks=[
            keras_dnc.Curriculum(levels, "val_loss", goal=5.0),
            keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=0.2),
        ],
        validation_data=tuple(levels.batch(4, np.random.default_rng(0))),
        verbose=0,
    )
    return model, log


def save_run(folder, call):
    """Run to the end unless killed, and save the weights and the log's figures."""
    count_down(call)
    model, log = run(folder)
    figures = [[row["loss"], row["val_loss"], row["level"]] for row in log]
    weights = {str(i): array for i, array in enumerate(model.get_weights())}
    np.savez(folder / "partial.npz", figures=figures, **weights)
    os.rename(folder / "partial.npz", folder / "weights.npz")


def start(folder, call=-1):
    """Start a run in a process of its own; return the number of that process."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            save_run(folder, call)
            status = 0
        finally:
            os._exit(status)
    return child


def kill_at_times(folder, rng, duration):
    """Kill a run at random moments until it ends; return the number of kills."""
    kills = 0
    while not ends_within(start(folder), rng.uniform(0.0, LATEST * duration)):
        kills += 1
    return kills


def ends_within(child, seconds):
    """Kill a process if it has not ended in time; return whether it had."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def run_killed(folder, kill, duration):
    """Do one KILL of the command line; return the number of kills."""
    folder.mkdir(parents=True)
    kind, _, number = kill.partition(":")
    kills = 0
    if kind == "times":
        kills = kill_at_times(folder, np.random.default_rng(int(number)), duration)
    elif kind == "call":
        _, status = os.waitpid(start(folder, int(number)), 0)
        kills = int(os.WIFSIGNALED(status))
    if not (folder / "weights.npz").exists():
        os.waitpid(start(folder), 0)
    return kills


def main():
    folder, *kills = sys.argv[1:]
    before = time.monotonic()
    run_killed(pathlib.Path(folder, "never"), "never", None)
    duration = time.monotonic() - before
    for kill in kills:
        done = run_killed(pathlib.Path(folder, kill), kill, duration)
        print(f"{kill} {done}", flush=True)


if __name__ == "__main__":
    main()
