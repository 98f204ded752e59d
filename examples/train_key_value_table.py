"""Learn a random table by heart: a product-key memory against dense layers.

    python examples/train_key_value_table.py

50,000 random keys each have a random value, with no rule behind it: what is learned is
learned by heart. The memory (Lample et al. 2019) and a stack of dense layers do the
same arithmetic for an entry; the stack gets several times the epochs, so that it has
had as much time too. Killed and started again, a run goes on after its last epoch.
"""

import argparse
import csv
import json
import pathlib
import time

import keras
import numpy as np

import keras_dnc


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--output", default="runs/key-value-table", type=pathlib.Path)
    add("--entries", default=50_000, type=int)
    add("--size", default=64, type=int, help="numbers in a key and in a value")
    add("--num-slots", default=262_144, type=int)
    add("--num-heads", default=4, type=int)
    add("--top-k", default=8, type=int)
    add("--key-dim", default=64, type=int)
    add("--epochs", default=15, type=int)
    add("--dense-epochs", default=150, type=int)
    add("--batch-size", default=512, type=int)
    add("--seed", default=0, type=int)
    return parser.parse_args()


def multiplications(settings):
    """Count what the memory multiplies for one entry: asking, scoring, reading."""
    ask = settings.size * settings.num_heads * settings.key_dim
    score = settings.num_heads * settings.num_slots**0.5 * settings.key_dim
    read = settings.num_heads * settings.top_k * settings.size
    return int(ask + score + read)


def build_memory(settings):
    inputs = keras.Input((settings.size,))
    memory = keras_dnc.ProductKeyMemory(
        settings.size,
        settings.num_slots,
        settings.num_heads,
        settings.top_k,
        settings.key_dim,
        # TensorFlow and PyTorch then update the rows that were read, and no others.
        sparse_gradient=keras.backend.backend() == "tensorflow",
    )
    model = keras.Model(inputs, memory(inputs), name="memory")
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.Adam(1e-4))
    optimizers[".*/values"] = keras_dnc.SparseAdam(1e-2)
    return model, keras.optimizers.MultiOptimizer(optimizers)


def build_dense(settings):
    """Two hidden layers, as wide as the memory's multiplications allow, rounded up."""
    ends = settings.size  # width^2 + 2 size width = multiplications
    width = int(np.sqrt(ends**2 + multiplications(settings)) - ends) + 1
    layers = [
        keras.Input((settings.size,)),
        keras.layers.Dense(width, "relu"),
        keras.layers.Dense(width, "relu"),
        keras.layers.Dense(settings.size),
    ]
    return keras.Sequential(layers, name="dense"), keras.optimizers.Adam(2e-3)


def train(model, optimizer, table, epochs, settings):
    """Fit; gives the error of the trained model and the seconds that it took."""
    output = settings.output / model.name
    output.mkdir(parents=True, exist_ok=True)
    model.compile(optimizer, "mse", jit_compile=True)
    callbacks = [
        keras.callbacks.BackupAndRestore(output / "backup", delete_checkpoint=False),
        keras.callbacks.CSVLogger(output / "log.csv", append=True),
    ]
    start = time.perf_counter()
    model.fit(
        *table, batch_size=settings.batch_size, epochs=epochs, callbacks=callbacks
    )
    seconds = time.perf_counter() - start
    error = model.evaluate(*table, batch_size=settings.batch_size, verbose=0)
    return {"error": error, "seconds": seconds, "parameters": model.count_params()}


def usage_of(memory, keys, settings):
    usage = keras_dnc.SlotUsage(settings.num_slots)
    for start in range(0, len(keys), settings.batch_size):
        batch = keys[start : start + settings.batch_size]
        usage.update_state(*memory(batch, return_addresses=True)[1:])
    return {name: float(value) for name, value in usage.result().items()}


def plot(names, settings):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name in names:
        with open(settings.output / name / "log.csv") as file:
            losses = [float(row["loss"]) for row in csv.DictReader(file)]
        axes.plot(range(1, len(losses) + 1), losses, label=name)
    axes.set(xlabel="epoch", ylabel="squared error (1 = nothing learned)", xscale="log")
    axes.set(title=f"{settings.entries:,} random entries, equal arithmetic for each")
    axes.legend()
    figure.savefig(settings.output / "learning.png", dpi=150)


def main():
    settings = parse_arguments()
    keras.utils.set_random_seed(settings.seed)
    keras_dnc.cache_compiled_programs("runs/xla")
    rng = np.random.default_rng(settings.seed)
    shape = (settings.entries, settings.size)
    table = rng.normal(size=shape).astype("float32"), rng.normal(size=shape)

    memory, dense = build_memory(settings), build_dense(settings)
    figures = {
        "memory": train(*memory, table, settings.epochs, settings),
        "dense": train(*dense, table, settings.dense_epochs, settings),
    }
    figures["memory"]["usage"] = usage_of(memory[0].layers[-1], table[0], settings)
    plot(figures, settings)
    print(f"\n{'':<8}{'error':>8}{'seconds':>9}{'parameters':>13}")
    for name, one in figures.items():
        print(
            f"{name:<8}{one['error']:8.4f}{one['seconds']:9.0f}{one['parameters']:13,}"
        )
    print(f"{multiplications(settings):,} multiplications an entry", figures["memory"])
    (settings.output / "metrics.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
