"""Run every cell for long: long sequences, many requests, many batches, many threads.

    python benchmarks/long_runs.py sequences   # 10,000 steps forward, 2,000 back
    python benchmarks/long_runs.py memory      # 10,000 steps served, 2,000 batches
    python benchmarks/long_runs.py threads     # 8 threads, 60 seconds

The program stops at the first number that is not finite, or that differs from the one
expected. With KERAS_BACKEND=jax, `memory` and `threads` are not available.
"""

import argparse
import functools
import pathlib
import tempfile
import threading
import time

import keras
import numpy as np

import keras_dnc
from keras_dnc import export

SIZES = {"controller": 32, "memory_size": 32, "word_size": 16, "num_reads": 2}
FEATURES = 8
CELLS = {
    "DNC": keras_dnc.DNCCell,
    "NTM": keras_dnc.NTMCell,
    "MANN": keras_dnc.MANNCell,
    "SAM": keras_dnc.SAMCell,
    "SDNC": keras_dnc.SDNCCell,
}
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
FORWARD, BACK = 10_000, 2_000  # steps
SERVED, TRAINED = 10_000, 2_000  # steps, batches
WARM = 500  # requests or batches before memory is measured
THREADS, SECONDS, STEPS = 8, 60.0, 50


def model_of(kind):
    """Return a compiled model around a small cell."""
    inputs = keras.Input((None, FEATURES))
    # Under a mixed policy, layers around sparse memories must carry states in float32.
    rnn = keras_dnc.MemoryRNN(
        kind(FEATURES, **SIZES), return_sequences=True, dtype="float32"
    )
    model = keras.Model(inputs, rnn(inputs))
    adam = keras.optimizers.Adam(1e-3, global_clipnorm=10.0)
    model.compile(adam, "mse", jit_compile=True)
    return model


def resident():
    """Return the memory of this process in MB."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def check(name, numbers):
    """Stop the program unless all numbers are finite."""
    if not np.isfinite(np.asarray(numbers, "float32")).all():
        raise SystemExit(f"{name}: a number is not finite")


def sequences():
    """Run one long sequence forward, and train on a shorter one."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(1, FORWARD, FEATURES)).astype("float32")
    print(f"| cell | policy | {FORWARD:,} steps forward, s | {BACK:,} back, s |")
    print("|---|---|---|---|")
    for policy in POLICIES:
        keras.config.set_dtype_policy(policy)
        for name, kind in CELLS.items():
            model, times = model_of(kind), []
            started = time.perf_counter()
            check(name, model.predict_on_batch(steps))
            times.append(time.perf_counter() - started)
            started = time.perf_counter()
            check(name, model.train_on_batch(steps[:, :BACK], steps[:, :BACK]))
            check(name, np.concatenate([w.ravel() for w in model.get_weights()]))
            times.append(time.perf_counter() - started)
            print(f"| {name} | {policy} | {times[0]:.1f} | {times[1]:.1f} |")


def memory():
    """Serve many steps and train on many batches, and measure what memory grows by."""
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(4, 20, FEATURES)).astype("float32")
    print(f"| cell | {SERVED:,} steps served, MB | {TRAINED:,} batches trained, MB |")
    print("|---|---|---|")
    for name, kind in CELLS.items():
        model = model_of(kind)
        model.train_on_batch(batch, batch)
        with tempfile.TemporaryDirectory() as folder:
            path = export.export_for_serving(model, pathlib.Path(folder, "m"))
            client = export.StreamingClient(path)
            served = growth(functools.partial(client.step, batch[0, :1]), SERVED)
        trained = growth(functools.partial(model.train_on_batch, batch, batch), TRAINED)
        print(f"| {name} | {served:+.1f} | {trained:+.1f} |")


def growth(act, times):
    """Return by how many MB the process grows, once it is warm."""
    for _ in range(WARM):
        act()
    before = resident()
    for _ in range(times):
        act()
    return resident() - before


def threads():
    """Let many clients of one SavedModel ask at the same time; compare each answer."""
    rng = np.random.default_rng(0)
    model = model_of(keras_dnc.DNCCell)
    inputs = rng.normal(size=(THREADS, STEPS, FEATURES)).astype("float32")
    expected = model.predict_on_batch(inputs)
    with tempfile.TemporaryDirectory() as folder:
        path = export.export_for_serving(model, pathlib.Path(folder, "m"))
        clients = [export.StreamingClient(path) for _ in range(THREADS)]
    worst, counts, end = [0.0] * THREADS, [0] * THREADS, time.time() + SECONDS

    def ask(number):
        while time.time() < end:
            clients[number].reset()
            for step in range(STEPS):
                found = clients[number].step(inputs[number, step : step + 1])
                difference = np.abs(found - expected[number, step]).max()
                worst[number] = max(worst[number], float(difference))
                counts[number] += 1

    started = [threading.Thread(target=ask, args=(i,)) for i in range(THREADS)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    print(f"{sum(counts):,} answers to {THREADS} threads in {SECONDS:.0f} s")
    print(f"The largest difference is {max(worst):.1e}.")
    if max(worst) > 1e-5 or min(counts) == 0:
        raise SystemExit("an answer differs, or a thread was not answered")


def main():
    """Run one of the programs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    programs = {"sequences": sequences, "memory": memory, "threads": threads}
    parser.add_argument("program", choices=programs)
    programs[parser.parse_args().program]()


if __name__ == "__main__":
    main()
