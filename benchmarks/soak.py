"""Train each improvement of the DNC long and hard, and look for anything not finite.

    python benchmarks/soak.py

Small cells, a learning rate ten times too high, gradients as they are, more steps that
may write than slots: 100,000 updates in all.
"""

import argparse
import time

import keras
import numpy as np

import keras_dnc
from keras_dnc.tasks.copy import RepeatCopyTask

ALL = {
    "masked_content": True,
    "deallocate": True,
    "link_sharpness": True,
    "normalize": True,
    "bypass_dropout": 0.2,
}
CELLS = {
    "plain": {},
    **{name: {name: value} for name, value in ALL.items()},
    "no links": {"temporal_links": False},
    "all with links": ALL,
    "all without links": {
        **ALL,
        "link_sharpness": False,
        "temporal_links": False,
    },
    "all, two write heads": {**ALL, "num_writes": 2, "mask_floor": 0.1},
}
BATCH_SIZE = 8


def build(task, options):
    """Give a compiled model around one small cell."""
    sizes = {"controller": 16, "memory_size": 6, "word_size": 5, "num_reads": 2}
    cell = keras_dnc.DNCCell(task.target_size, **sizes, **options)
    inputs = keras.Input((None, task.observation_size))
    model = keras.Model(
        inputs, keras_dnc.MemoryRNN(cell, return_sequences=True)(inputs)
    )
    rate = keras.optimizers.Adam(1e-2)
    model.compile(rate, keras_dnc.SequenceCrossentropy(), jit_compile=True)
    return model


def soak(name, options, updates):
    """Train; give the last loss and the largest weight, or stop at the first NaN."""
    keras.utils.set_random_seed(0)
    task = RepeatCopyTask(max_length=4, max_repeats=2)
    model = build(task, options)
    watch = keras.callbacks.TerminateOnNaN()
    fitted = model.fit(
        task.dataset(BATCH_SIZE, updates), callbacks=[watch], verbose=0, epochs=1
    )
    weights = [np.abs(weight).max() for weight in model.get_weights()]
    loss = fitted.history["loss"][-1]
    if not np.isfinite([loss, *weights]).all():
        raise SystemExit(f"{name}: loss {loss}, largest weight {max(weights)}")
    return loss, max(weights)


def main():
    """Soak every cell, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", default=100_000, type=int, help="in all")
    updates = parser.parse_args().updates // len(CELLS)
    print(f"{'cell':<22}{'updates':>9}{'seconds':>9}{'loss':>9}{'largest weight':>16}")
    for name, options in CELLS.items():
        started = time.perf_counter()
        loss, largest = soak(name, options, updates)
        seconds = time.perf_counter() - started
        print(f"{name:<22}{updates:>9}{seconds:>9.0f}{loss:>9.3f}{largest:>16.1f}")


if __name__ == "__main__":
    main()
