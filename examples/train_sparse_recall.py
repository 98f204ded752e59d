"""Train a sparse memory to recall ever more items, doubling their number as it learns.

    python examples/train_sparse_recall.py               # Sparse Access Memory
    python examples/train_sparse_recall.py --cell dnc    # the dense cell, for comparison

Starts with episodes of up to two items; each time the mean cost falls below
`--threshold`, their largest number doubles. Stops when `--max-items` are recalled at
the cost of `--goal`, or when `--minutes` are over. The model and how far it has come are kept after each level: a run that was
killed goes on there.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np

import keras_dnc
from keras_dnc.tasks.recall import AssociativeRecallTask

CELLS = {"sam": keras_dnc.SAMCell, "sdnc": keras_dnc.SDNCCell, "dnc": keras_dnc.DNCCell}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--cell", default="sam", choices=CELLS)
    add("--max-items", default=256, type=int)
    add("--num-bits", default=12, type=int)
    add("--item-length", default=1, type=int, help="steps of an item")
    add("--controller-units", default=100, type=int)
    add("--memory-size", default=512, type=int)
    add("--word-size", default=32, type=int)
    add("--num-reads", default=4, type=int)
    add("--search", default="exact", choices=["exact", "lsh"])
    add("--batch-size", default=16, type=int)
    add("--learning-rate", default=1e-3, type=float)
    add("--steps", default=100, type=int, help="updates in an epoch")
    add("--threshold", default=0.05, type=float, help="bits per bit, to double at")
    add("--goal", default=0.01, type=float, help="bits per bit, to stop at, at the end")
    add("--minutes", default=60.0, type=float)
    add("--test-size", default=256, type=int, help="fresh episodes to judge by")
    add("--output", default=None, type=pathlib.Path)
    add("--seed", default=0, type=int)
    settings = parser.parse_args()
    settings.output = settings.output or pathlib.Path("runs/recall", settings.cell)
    return settings


def build_model(settings):
    sizes = {"memory_size": settings.memory_size, "word_size": settings.word_size}
    if settings.cell != "dnc":
        sizes["search"] = settings.search
    cell = CELLS[settings.cell](
        settings.num_bits,
        controller=settings.controller_units,
        num_reads=settings.num_reads,
        **sizes,
    )
    inputs = keras.Input((None, settings.num_bits + 2))
    outputs = keras_dnc.MemoryRNN(cell, return_sequences=True)(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(settings.learning_rate, global_clipnorm=10.0),
        keras_dnc.SequenceCrossentropy(),
        jit_compile=True,
    )
    return model


def make_task(settings, least, most):
    return AssociativeRecallTask(settings.num_bits, settings.item_length, least, most)


class Level(keras.callbacks.Callback):
    """Stop when episodes cost little, the last when those of most items do, or late."""

    def __init__(self, settings, items, seconds):
        super().__init__()
        self.settings = settings
        self.items = items
        self.is_last = items >= settings.max_items
        self.end = time.monotonic() + seconds
        self.is_learned = False

    def on_epoch_end(self, epoch, logs=None):
        bits = self.settings.num_bits * self.settings.item_length
        logs["bits_per_bit"] = logs["loss"] / (bits * np.log(2))
        self.is_learned = logs["bits_per_bit"] < self.settings.threshold
        if self.is_last and self.is_learned:
            cost = measure(self.model, self.settings, self.items, seed=epoch)
            self.is_learned = cost < self.settings.goal
        self.model.stop_training = self.is_learned or time.monotonic() > self.end


def measure(model, settings, items, seed):
    """Give the mean cost of fresh episodes of so many items, in bits per bit."""
    rng = np.random.default_rng([settings.seed, items, seed, 1])
    batch = make_task(settings, items, items).batch(settings.test_size, rng)
    outputs = model.predict(batch.inputs, batch_size=settings.batch_size, verbose=0)
    loss = keras_dnc.SequenceCrossentropy()
    nats = float(loss(batch.targets, outputs, sample_weight=batch.mask))
    return nats / (settings.num_bits * settings.item_length * np.log(2))


def load_progress(settings):
    """Give what an earlier run has kept: its model and progress, or fresh ones."""
    path = settings.output / "progress.json"
    if not path.exists():
        return build_model(settings), {"items": 2, "seconds": 0.0, "levels": []}
    model = keras.models.load_model(settings.output / "model.keras")
    return model, json.loads(path.read_text())


def keep_progress(model, progress, settings):
    model.save(settings.output / "model.keras")
    text = json.dumps(progress, indent=1)
    (settings.output / "progress.json").write_text(text + "\n")


def main():
    settings = parse_arguments()
    settings.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(settings.seed)
    model, progress = load_progress(settings)
    while progress["items"] <= settings.max_items:
        items, started = progress["items"], time.monotonic()
        print(f"\nUp to {items} items, after {progress['seconds']:.0f} s")
        left = 60 * settings.minutes - progress["seconds"]
        level = Level(settings, items, left)
        task = make_task(settings, 2, items)
        seed = 1000 * settings.seed + items
        data = task.dataset(settings.batch_size, settings.steps, seed)
        model.fit(data, epochs=100_000, callbacks=[level], verbose=2)
        progress["seconds"] += time.monotonic() - started
        if not level.is_learned:
            break
        progress["levels"].append([items, round(progress["seconds"])])
        progress["items"] = 2 * items
        keep_progress(model, progress, settings)
    print("\nitems  learned after  (s)")
    for items, seconds in progress["levels"]:
        print(f"{items:5}  {seconds:13}")
    cost = measure(model, settings, settings.max_items, seed=10**6)
    print(f"\n{cost:.4f} bits per bit at {settings.max_items} items, fresh episodes")
    metrics = {**progress, "test_items": settings.max_items, "bits_per_bit": cost}
    metrics["settings"] = vars(settings)
    text = json.dumps(metrics, indent=1, default=str)
    (settings.output / "metrics.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
