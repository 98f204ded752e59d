"""Time and memory of product-key memories: addressing, and a training step.

    python benchmarks/product_key.py

Writes `product_key.json`, and from it the figures in `README.md`. Each backend is a
process of its own, in which contenders run in turn. Backends that are not installed are
skipped.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
import warnings
from statistics import median

import keras
import numpy as np
from keras import ops
from machine import installed
from machine import stamp
from page import stamped
from page import write_figures
from worker import peak_bytes
from worker import take_turn

import keras_dnc

HERE = pathlib.Path(__file__).parent
FEW, MANY, LARGE = 2**10, 2**18, 2**20
SIZES = {"value_dim": 256, "num_heads": 4, "top_k": 32, "key_dim": 256}
ADDRESSING = {"TensorFlow with XLA": "tensorflow", "JAX": "jax"}
TRAINING = {  # name: backend, gradient of the rows alone, the values' optimizer
    "rows alone, SparseAdam, TensorFlow with XLA": ("tensorflow", True, "SparseAdam"),
    "whole table, Adam, TensorFlow with XLA": ("tensorflow", False, "Adam"),
    "whole table, Adam, JAX": ("jax", False, "Adam"),
    "rows alone, SparseAdam, PyTorch": ("torch", True, "SparseAdam"),
}
POSITIONS = 128  # of the training step's batch


def compiled(function):
    """Compile a function of arrays, which gives arrays, and wait for its results."""
    if keras.backend.backend() == "jax":
        import jax

        inner = jax.jit(function)
        return lambda *tensors: jax.block_until_ready(inner(*tensors))
    import tensorflow as tf

    inner = tf.function(function, jit_compile=True)
    return lambda *tensors: [one.numpy() for one in inner(*tensors)]


def reading(slots, places):
    """Read the memory at so many places: addressing and values."""
    layer = keras_dnc.ProductKeyMemory(num_slots=slots, **SIZES)
    inputs = np.random.default_rng(0).normal(size=(places, 256)).astype("float32")
    layer.build(inputs.shape)
    state = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]

    def call(inputs, *state):
        return [layer.stateless_call(state, rest, inputs)[0]]

    run = compiled(call)
    return lambda: run(inputs, *state)


def scoring_all(slots, places):
    """Read the same memory with a key of its own for each slot, all of them scored."""
    rng, heads, size = np.random.default_rng(0), SIZES["num_heads"], SIZES["key_dim"]
    keys = ops.convert_to_tensor(rng.normal(size=(heads, slots, size)).astype("f"))
    values = ops.convert_to_tensor(rng.normal(size=(slots, 256)).astype("f"))
    queries = ops.convert_to_tensor(rng.normal(size=(heads, places, size)).astype("f"))

    def call(queries, keys, values):
        scores = ops.einsum("hpd,hnd->hpn", queries, keys)
        best, found = ops.top_k(scores, SIZES["top_k"])
        rows = ops.take(values, found, axis=0)
        return [ops.einsum("hpk,hpkv->pv", ops.softmax(best), rows)]

    run = compiled(call)
    return lambda: run(queries, keys, values)


def addressing(rounds):
    """Return milliseconds of a call, by places and contender, for each round."""
    found = {}
    for places in (1, 32):
        contenders = {
            "few": reading(FEW, places),
            "many": reading(MANY, places),
            "all": scoring_all(MANY, places),
        }
        for run in contenders.values():
            run()
        found[places] = [
            {name: milliseconds(run) for name, run in contenders.items()}
            for _ in range(rounds)
        ]
    return found


def milliseconds(run):
    """Return the median of a turn, without its first run."""
    return 1e3 * median(take_turn(run)[1:])


def training(sparse_gradient, optimizer, rounds):
    """Return milliseconds of a step, and of one with frozen values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        memory = keras_dnc.ProductKeyMemory(
            num_slots=LARGE, sparse_gradient=sparse_gradient, **SIZES
        )
    inputs = keras.Input((None, 256))
    model = keras.Model(inputs, memory(inputs))
    by_variable = keras.optimizers.OptimizerMap(keras.optimizers.Adam(1e-3))
    kinds = {"Adam": keras.optimizers.Adam, "SparseAdam": keras_dnc.SparseAdam}
    by_variable[".*/values"] = kinds[optimizer](1e-3)
    batch = np.random.default_rng(0).normal(size=(1, POSITIONS, 256)).astype("f")
    found = {}
    # Without the values among the weights that are trained, all else is the same.
    for name, trained in (("all", True), ("without", False)):
        memory.values.trainable = trained
        jit_compile = keras.backend.backend() != "torch"
        both = keras.optimizers.MultiOptimizer(by_variable)
        used = both if trained else keras.optimizers.Adam(1e-3)
        model.compile(used, "mse", jit_compile=jit_compile)
        start = time.perf_counter()
        model.train_on_batch(batch, batch)
        found[f"{name} first"] = time.perf_counter() - start
        step = lambda: model.train_on_batch(batch, batch)  # noqa: E731
        found[name] = median(milliseconds(step) for _ in range(rounds))
        if trained:
            found["peak_bytes"] = peak_bytes()
    return found


def ask(backend, *arguments):
    """Measure in a process of its own, on this backend."""
    print(f"  {backend} {arguments}", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--job", *map(str, arguments)]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def tables(results):
    """Yield the lines of both tables."""
    yield "### Reading: 4 heads of size 256, the best 32 slots of each, values of 256\n"
    yield from stamped(results.get("stamp"))
    yield (
        "| | places | 1,024 slots, ms | 262,144 slots, ms | growth | "
        "all 262,144 keys scored, ms | times faster |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name, by_places in results["addressing"].items():
        for places, rounds in by_places.items():
            ms = [median(one[c] for one in rounds) for c in ("few", "many", "all")]
            growth = median(one["many"] / one["few"] for one in rounds)
            faster = median(one["all"] / one["many"] for one in rounds)
            yield (
                f"| {name} | {places} | {ms[0]:.2f} | {ms[1]:.2f} | {growth:.2f} | "
                f"{ms[2]:.1f} | {faster:.0f} |"
            )
    yield f"\n### A training step: 1,048,576 slots of 256, {POSITIONS} positions\n"
    yield (
        "| gradient and optimizer of the values | step, ms | without training the "
        "values, ms | first step, s | peak of the process, GiB |"
    )
    yield "|---|---|---|---|---|"
    for name, one in results["training"].items():
        yield (
            f"| {name} | {one['all']:.0f} | {one['without']:.0f} | "
            f"{one['all first']:.1f} | {one['peak_bytes'] / 2**30:.1f} |"
        )


def write(results, folder):
    """Write the figures between the README's marks."""
    write_figures([*tables(results), ""], "product keys", folder)


def main():
    """Measure all, or do one job and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--job", nargs="+", help="for the processes of this script")
    arguments = parser.parse_args()
    if arguments.job:
        kind, rounds, *rest = arguments.job
        if kind == "addressing":
            found = addressing(int(rounds))
        else:
            found = training(rest[0] == "True", rest[1], int(rounds))
        print(json.dumps(found))
        return
    rounds = arguments.rounds
    results = {
        "stamp": stamp(),
        "addressing": {
            name: ask(backend, "addressing", rounds)
            for name, backend in ADDRESSING.items()
            if installed(backend)
        },
        "training": {
            name: ask(backend, "training", rounds, *rest)
            for name, (backend, *rest) in TRAINING.items()
            if installed(backend)
        },
    }
    (HERE / "product_key.json").write_text(json.dumps(results, indent=1))
    write(results, HERE)


if __name__ == "__main__":
    main()
