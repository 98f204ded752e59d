"""Train a sparse memory to recall ever more items, doubling their number as it learns.

    python examples/train_sparse_recall.py
    python examples/train_sparse_recall.py --cell dnc --output runs/recall_dnc

Starts with episodes of up to two items; each time the mean cost falls below
`--threshold`, their largest number doubles. Stops when `--max-items` are recalled at
the cost of `--goal`, or when `--minutes` are over. The model and how far it has come
are kept after each epoch: a run that was killed goes on there.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np

import keras_dnc
from keras_dnc.tasks.recall import AssociativeRecallTask

NUM_BITS = 12  # of an item: 256 items are then few of all there are
CELLS = {"sam": keras_dnc.SAMCell, "sdnc": keras_dnc.SDNCCell, "dnc": keras_dnc.DNCCell}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--cell", default="sam", choices=CELLS)
    add("--max-items", default=256, type=int)
    add("--memory-size", default=1024, type=int, help="four slots an item")
    add("--batch-size", default=16, type=int)
    add("--learning-rate", default=1e-3, type=float)
    add("--steps", default=100, type=int, help="updates in an epoch")
    add("--threshold", default=0.05, type=float, help="bits per bit, to double at")
    add("--goal", default=0.004, type=float, help="bits per bit, to stop at")
    add("--minutes", default=60.0, type=float)
    add("--test-size", default=1024, type=int, help="fresh episodes to judge by")
    add("--output", default="runs/recall", type=pathlib.Path, help="a folder per run")
    add("--seed", default=0, type=int)
    return parser.parse_args()


def build_model(settings):
    sizes = {"memory_size": settings.memory_size, "word_size": 32, "num_reads": 4}
    cell = CELLS[settings.cell](NUM_BITS, controller=100, **sizes)
    inputs = keras.Input((None, NUM_BITS + 2))
    layer = keras_dnc.MemoryRNN(cell, return_sequences=True)
    model = keras.Model(inputs, layer(inputs))
    model.compile(
        keras.optimizers.Adam(settings.learning_rate, global_clipnorm=10.0),
        keras_dnc.SequenceCrossentropy(),
        jit_compile=True,
    )
    return model


class Level(keras.callbacks.Callback):
    """Stop when episodes of so many items cost little, or when it is late."""

    def __init__(self, settings, progress):
        super().__init__()
        self.settings = settings
        self.progress = progress
        self.is_learned = self.is_late = False
        self.started = time.monotonic() - progress["seconds"]

    def on_epoch_end(self, epoch, logs=None):
        settings, progress = self.settings, self.progress
        bits = NUM_BITS * queries_of(progress["items"])
        logs["bits_per_bit"] = logs["loss"] / (bits * np.log(2))
        self.is_learned = logs["bits_per_bit"] < settings.threshold
        if self.is_learned and progress["items"] >= settings.max_items:
            # The last few errors take small steps.
            self.model.optimizer.learning_rate = settings.learning_rate / 4
            cost = measure(self.model, settings, progress["items"], seed=epoch)
            self.is_learned = cost < settings.goal
        progress["epochs"] += 1
        progress["seconds"] = time.monotonic() - self.started
        keep_progress(self.model, progress, settings.output)
        self.is_late = progress["seconds"] > 60 * settings.minutes
        self.model.stop_training = self.is_learned or self.is_late


def queries_of(items):
    """Ask more of longer episodes: each answer teaches as much as one alone."""
    return max(1, items // 8)


def measure(model, settings, items, seed):
    """Give the mean cost of one query after so many items, in bits per bit."""
    rng = np.random.default_rng([settings.seed, items, seed, 1])
    task = AssociativeRecallTask(NUM_BITS, 1, items, items)
    batch = task.batch(settings.test_size, rng)
    outputs = model.predict(batch.inputs, batch_size=settings.batch_size, verbose=0)
    loss = keras_dnc.SequenceCrossentropy()
    nats = float(loss(batch.targets, outputs, sample_weight=batch.mask))
    return nats / (NUM_BITS * np.log(2))


def load_progress(settings):
    """Give the model and progress that an earlier run has kept, or fresh ones."""
    path = settings.output / "progress.json"
    ours = {key: str(value) for key, value in vars(settings).items()}
    if not path.exists():
        progress = {"items": 2, "epochs": 0, "seconds": 0.0, "levels": []}
        return build_model(settings), {**progress, "settings": ours}
    progress = json.loads(path.read_text())
    if progress["settings"] | {"minutes": ours["minutes"]} != ours:
        raise SystemExit(f"{path} is of a run with other settings: choose an --output")
    return keras.models.load_model(settings.output / "model.keras"), progress


def keep_progress(model, progress, folder):
    model.save(folder / "model.keras")
    (folder / "progress.json").write_text(json.dumps(progress))


def main():
    settings = parse_arguments()
    settings.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(settings.seed)
    keras_dnc.cache_compiled_programs("runs/xla")
    model, progress = load_progress(settings)
    while progress["items"] <= settings.max_items:
        items = progress["items"]
        print(f"\nUp to {items} items, after {progress['seconds']:.0f} s")
        level = Level(settings, progress)
        queries = queries_of(items)
        task = AssociativeRecallTask(NUM_BITS, 1, 2, items, queries)
        data = task.dataset(settings.batch_size, settings.steps, settings.seed)
        data.epoch = progress["epochs"]  # so that a run that goes on sees new episodes
        model.fit(data, epochs=100_000, callbacks=[level])
        if level.is_learned:
            progress["levels"].append([items, round(progress["seconds"])])
            progress["items"] = 2 * items
            keep_progress(model, progress, settings.output)
        if level.is_late:
            break
    print("items learned, after seconds:", dict(progress["levels"]))
    cost = measure(model, settings, settings.max_items, seed=10**6)
    print(f"\n{cost:.4f} bits per bit at {settings.max_items} items, fresh episodes")
    text = json.dumps({**progress, "bits_per_bit": cost}, indent=1)
    (settings.output / "metrics.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
