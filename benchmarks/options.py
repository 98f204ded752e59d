"""What each improvement of the DNC costs: training steps beside the plain cell's.

    python benchmarks/options.py

All cells train in one process, in turn, round after round; a ratio is the median of the
rounds' ratios.
"""

import argparse
import pathlib
import statistics
import sys
import time

import keras
import numpy as np

import keras_dnc

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from soak import CELLS

SIZES = {
    "A": {"batch": 16, "time": 20, "slots": 16, "word": 16, "reads": 4, "units": 64},
    "M": {"batch": 16, "time": 50, "slots": 128, "word": 32, "reads": 4, "units": 128},
}
FEATURES = 64


def build(size, options):
    """Return a compiled model around one cell."""
    cell = keras_dnc.DNCCell(
        FEATURES,
        controller=size["units"],
        memory_size=size["slots"],
        word_size=size["word"],
        num_reads=size["reads"],
        **options,
    )
    inputs = keras.Input((None, FEATURES))
    outputs = keras_dnc.MemoryRNN(cell, return_sequences=True)(inputs)
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse", jit_compile=True)
    return model


def seconds(model, batch, steps):
    """Return the median of a few training steps."""
    times = []
    for _ in range(steps):
        started = time.perf_counter()
        model.train_on_batch(*batch)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure(size, rounds, steps):
    """Return each cell's seconds, one for each round."""
    rng = np.random.default_rng(0)
    shape = (size["batch"], size["time"], FEATURES)
    batch = [rng.normal(size=shape).astype("float32") for _ in range(2)]
    models = {name: build(size, options) for name, options in CELLS.items()}
    for model in models.values():
        seconds(model, batch, steps=2)
    found = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            found[name].append(seconds(model, batch, steps))
    return found


def table(found):
    """Write milliseconds, and times the plain cell's, as Markdown."""
    lines = ["| cell | training step, ms | times the plain cell's |", "|---|---|---|"]
    for name, times in found.items():
        ratios = [a / b for a, b in zip(times, found["plain"], strict=True)]
        milliseconds = 1e3 * statistics.median(times)
        lines.append(
            f"| {name} | {milliseconds:.1f} | {statistics.median(ratios):.2f} |"
        )
    return "\n".join(lines)


def main():
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", default=7, type=int)
    parser.add_argument("--steps", default=5, type=int, help="in a round")
    settings = parser.parse_args()
    for name, size in SIZES.items():
        sizes = ", ".join(f"{key} {value}" for key, value in size.items())
        print(f"### {name}: {sizes}; {keras.backend.backend()}\n")
        print(table(measure(size, settings.rounds, settings.steps)) + "\n")


if __name__ == "__main__":
    main()
