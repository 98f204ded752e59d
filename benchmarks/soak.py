"""Train every cell for many updates, and look for anything not finite.

    python benchmarks/soak.py --cells options     # the improvements of the DNC
    python benchmarks/soak.py --cells papers      # NTM, MANN, SAM, SDNC, BiDNC

Small cells, a learning rate ten times too high, gradients that are not clipped, more
steps that may write than slots: 100,000 updates in all.
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
SIZES = {"controller": 16, "memory_size": 6, "word_size": 5, "num_reads": 2}


def layer_of(cell):
    """Return the layer around a cell."""
    return keras_dnc.MemoryRNN(cell, return_sequences=True)


def dnc_with(options):
    """Return a function from the size of the output to a DNC with some options."""
    return lambda size: layer_of(keras_dnc.DNCCell(size, **SIZES, **options))


LAYERS = {
    "options": {name: dnc_with(options) for name, options in CELLS.items()},
    "papers": {
        "NTM": lambda size: layer_of(keras_dnc.NTMCell(size, **SIZES)),
        "MANN": lambda size: layer_of(keras_dnc.MANNCell(size, **SIZES)),
        "SAM": lambda size: layer_of(keras_dnc.SAMCell(size, top_k=2, **SIZES)),
        "SDNC": lambda size: layer_of(
            keras_dnc.SDNCCell(size, top_k=2, link_top_k=6, **SIZES)
        ),
        "BiDNC": lambda size: keras_dnc.BiDNC(size, return_sequences=True, **SIZES),
    },
}


def build(task, make):
    """Return a compiled model around one small cell."""
    inputs = keras.Input((None, task.observation_size))
    model = keras.Model(inputs, make(task.target_size)(inputs))
    rate = keras.optimizers.Adam(1e-2)
    model.compile(rate, keras_dnc.SequenceCrossentropy(), jit_compile=True)
    return model


def soak(name, make, updates):
    """Train; return the last loss and the largest weight, or stop at the first NaN."""
    keras.utils.set_random_seed(0)
    task = RepeatCopyTask(max_length=4, max_repeats=2)
    model = build(task, make)
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
    """Train every cell, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", default="options", choices=LAYERS)
    parser.add_argument("--updates", default=100_000, type=int, help="in all")
    settings = parser.parse_args()
    layers = LAYERS[settings.cells]
    updates = settings.updates // len(layers)
    print("| cell | updates | seconds | loss at the end | largest weight |")
    print("|---|---|---|---|---|")
    for name, make in layers.items():
        started = time.perf_counter()
        loss, largest = soak(name, make, updates)
        seconds = time.perf_counter() - started
        print(f"| {name} | {updates:,} | {seconds:.0f} | {loss:.3f} | {largest:.1f} |")


if __name__ == "__main__":
    main()
