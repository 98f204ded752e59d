"""Train a memory network on an algorithmic task, and see how far it generalises.

    python examples/train_algorithm.py --task copy --cell ntm

Started again, it goes on where it was; at the end it measures longer sequences, too.
"""

import argparse
import json
import pathlib
import sys

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_dnc
from keras_dnc.tasks import arithmetic
from keras_dnc.tasks import copy
from keras_dnc.tasks import ngram
from keras_dnc.tasks import recall
from keras_dnc.tasks import sorting
from keras_dnc.tasks.levels import Levels

TASKS = {  # how to make one from two lengths; lengths to train on; lengths to test on
    "copy": (lambda a, b: copy.CopyTask(8, a, b), (1, 20), (20, 50, 80, 120)),
    "symbol": (lambda a, b: copy.SymbolRecallTask(10, a, b), (1, 20), (20, 50, 100)),
    "repeat_copy": (
        lambda a, b: copy.RepeatCopyTask(8, a, b, a, b, **copy.normal_repeats(1, 10)),
        *((1, 10), (10, 20)),
    ),
    "recall": (
        lambda a, b: recall.AssociativeRecallTask(min_items=a, max_items=b),
        *((2, 6), (6, 8, 12, 15)),
    ),
    "ngram": (lambda _, b: ngram.NGramTask(6, b), (200, 200), (200, 400)),
    "sort": (
        lambda _, b: sorting.PrioritySortTask(8, b, b * 4 // 5),
        *((20, 20), (20, 25)),
    ),
    "adding": (arithmetic.AddingTask, (2, 50), (50, 100)),
    "argmax": (lambda a, b: arithmetic.ArgmaxTask(a, max(b, 10)), (1, 10), (10,)),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--task", default="copy", choices=TASKS)
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
    add("--epochs", default=30, type=int)
    add("--test-size", default=1000, type=int, help="sequences of each length")
    add("--output", default=None, type=pathlib.Path, help="runs/TASK/CELL if not given")
    add("--seed", default=0, type=int)
    return parser.parse_args()


def recurrent_layers(settings, task):
    """The layers between a sequence and its logits."""
    if settings.cell == "lstm":
        lstm = keras.layers.LSTM(settings.controller, return_sequences=True)
        return [lstm, keras.layers.Dense(task.target_size)]
    cell = getattr(keras_dnc, f"{settings.cell.upper()}Cell")(
        task.target_size,
        controller=settings.controller,
        memory_size=settings.memory_size,
        word_size=settings.word_size,
        num_reads=settings.num_reads,
        **settings.options,
    )
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
        keras_dnc.check_settings(folder / "config.json", vars(settings), ("output",))
    except ValueError as error:
        sys.exit(str(error))
    keras.utils.set_random_seed(settings.seed)
    make, (shortest, longest), lengths = TASKS[settings.task]
    task = make(shortest, longest)
    levels = Levels([make(shortest, n) for n in [*settings.levels, longest]])
    model = compiled_model(settings, task)
    held_out = tuple(task.batch(200, np.random.default_rng(settings.seed + 1000)))
    log = keras_dnc.fit_or_resume(
        model,
        levels.dataset(settings.batch_size, settings.steps, settings.seed),
        folder / "training",
        monitor="val_loss",
        epochs=settings.epochs,
        callbacks=[
            keras_dnc.Curriculum(levels, "loss", settings.goal),
            keras_dnc.SampleReport(task, every=10),
        ],
        validation_data=held_out,
        validation_batch_size=100,
    )
    tests = {"as trained": task} | {f"{n}": make(n, n) for n in lengths}
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
