"""Train a memory network on an algorithmic task, and see how far it generalises.

    python examples/train_algorithm.py --task copy --cell ntm

Started again, it goes on where it was; at the end it measures longer sequences, too.
With more `--epochs` it trains on, at the learning rate of a run of that many epochs.
"""

import argparse
import functools
import json
import pathlib
import sys

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_dnc
from keras_dnc import tasks

REPEATS = tasks.copy.normal_repeats(1, 10)
TASKS = {  # task of a size and of two lengths; size; lengths trained on; lengths tested
    "copy": (tasks.copy.CopyTask, 8, (1, 20), (20, 50, 80, 120)),
    "symbol": (tasks.copy.SymbolRecallTask, 10, (1, 20), (20, 50, 100)),
    "repeat_copy": (
        lambda bits, a, b: tasks.copy.RepeatCopyTask(bits, a, b, a, b, **REPEATS),
        *(8, (1, 10), (10, 20)),
    ),
    "recall": (
        lambda bits, a, b: tasks.recall.AssociativeRecallTask(bits, 3, a, b),
        *(6, (2, 6), (6, 8, 12, 15)),
    ),
    "ngram": (lambda n, _, b: tasks.ngram.NGramTask(n, b), 6, (200, 200), (200, 400)),
    "sort": (
        lambda bits, _, b: tasks.sorting.PrioritySortTask(bits, b, b * 4 // 5),
        *(8, (20, 20), (20, 25)),
    ),
    "adding": (tasks.arithmetic.AddingTask, None, (2, 50), (50, 100)),
    "argmax": (
        lambda a, b: tasks.arithmetic.ArgmaxTask(a, max(b, 10)),
        *(None, (1, 10), (10,)),
    ),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--task", default="copy", choices=TASKS)
    add("--bits", type=int, help="bits of a step; symbols; n of the n-grams")
    add("--lengths", type=json.loads, help="trained on and tested: [[1, 5], [5, 10]]")
    add("--cell", default="ntm", choices=["lstm", "ntm", "dnc", "mann"])
    add("--controller", default=100, type=int, help="LSTM units")
    add("--memory-size", default=128, type=int)
    add("--word-size", default=20, type=int)
    add("--num-reads", default=1, type=int)
    add("--options", default="{}", type=json.loads, help="the cell's others, as JSON")
    add("--levels", default=[], type=json.loads, help="lengths to learn first: [5, 10]")
    add("--goal", default=2.0, type=float, help="loss that ends a level")
    add("--batch-size", default=16, type=int)
    add("--learning-rate", default=3e-3, type=float, help="falls to nothing")
    add("--steps", default=500, type=int, help="updates in an epoch")
    add("--epochs", default=30, type=int, help="in all; may grow after the end")
    add("--test-size", default=1000, type=int, help="sequences of each length")
    add("--output", default=None, type=pathlib.Path, help="runs/TASK/CELL if not given")
    add("--seed", default=0, type=int)
    settings = parser.parse_args()
    if settings.bits is not None and TASKS[settings.task][1] is None:
        parser.error(f"task {settings.task} takes no --bits")
    return settings


def recurrent_layers(settings, task):
    """The layers between a sequence and its logits."""
    if settings.cell == "lstm":
        lstm = keras.layers.LSTM(settings.controller, return_sequences=True)
        return [lstm, keras.layers.Dense(task.target_size)]
    names = ("controller", "memory_size", "word_size", "num_reads")
    options = {name: getattr(settings, name) for name in names} | settings.options
    cell = getattr(keras_dnc, f"{settings.cell.upper()}Cell")
    cell = cell(task.target_size, **options)
    return [keras_dnc.MemoryRNN(cell, return_sequences=True)]


def compiled_model(settings, task):
    inputs = keras.Input((None, task.observation_size))
    model = keras.Sequential([inputs, *recurrent_layers(settings, task)])
    updates = settings.steps * settings.epochs
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, updates)
    model.compile(
        keras.optimizers.Adam(rate, global_clipnorm=10.0),
        keras_dnc.SequenceCrossentropy() if task.answers_bits else "mse",
        weighted_metrics=[keras_dnc.BitErrors()] if task.answers_bits else [],
        jit_compile=True,
    )
    return model


def draw(log, errors, metric, path):
    learning, lengths = Figure(figsize=(11, 4), layout="tight").subplots(1, 2)
    for name in ("loss", "val_loss"):
        learning.plot([epoch[name] for epoch in log], label=name)
    learning.set(title="learning", yscale="log", xlabel="epoch", ylabel="loss")
    learning.legend()
    lengths.plot(list(errors), list(errors.values()), "o-")
    lengths.set(title="by length", xlabel="length", ylabel=metric)
    learning.figure.savefig(path, dpi=120)


def main():
    settings = parse_arguments()
    folder = settings.output or pathlib.Path("runs", settings.task, settings.cell)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        free = ("output", "epochs")
        keras_dnc.check_settings(folder / "config.json", vars(settings), free)
    except ValueError as error:
        sys.exit(str(error))
    keras.utils.set_random_seed(settings.seed)
    keras_dnc.cache_compiled_programs("runs/xla")
    make, bits, *lengths = TASKS[settings.task]
    (shortest, longest), tested = settings.lengths or lengths
    bits = bits if settings.bits is None else settings.bits
    make = make if bits is None else functools.partial(make, bits)
    lessons = [make(shortest, n) for n in [*settings.levels, longest]]
    levels, task = tasks.levels.Levels(lessons), lessons[-1]
    model = compiled_model(settings, task)
    held_out = tuple(task.batch(200, np.random.default_rng(settings.seed + 1000)))
    data = levels.dataset(settings.batch_size, settings.steps, settings.seed)
    curriculum = keras_dnc.Curriculum(levels, "loss", settings.goal)
    callbacks = [curriculum, keras_dnc.SampleReport(task, every=10)]
    run = model, data, folder / "training", "val_loss", settings.epochs, callbacks
    log = keras_dnc.fit_or_resume(
        *run, validation_data=held_out, validation_batch_size=100
    )
    tests = {"as trained": task} | {f"{n}": make(n, n) for n in tested}
    report = keras_dnc.GeneralisationReport(tests, settings.test_size, seed=2000)
    errors = report.measure(model)
    model.save(folder / "model.keras")
    minutes = round(sum(epoch["seconds"] for epoch in log) / 60, 1)
    metrics = {"metric": task.metric, "by_length": errors, "seed": settings.seed}
    metrics |= {"updates": settings.steps * len(log), "minutes": minutes}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    draw(log, errors, task.metric, folder / "learning.png")


if __name__ == "__main__":
    main()
