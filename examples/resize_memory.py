"""Train a DNC to copy in a small memory, then give it a larger one.

    python examples/resize_memory.py

Learns to copy sequences that its 16 slots hold. Longer ones do not fit; the same
weights in a memory of more slots copy them, without another update.
"""

import argparse
import json
import pathlib

import keras
import numpy as np

import keras_dnc
from keras_dnc.tasks.copy import RepeatCopyTask


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--num-bits", default=4, type=int)
    add("--max-length", default=14, type=int, help="longest sequence trained on")
    add("--memory-size", default=16, type=int, help="slots while training")
    add("--larger", default="32,64,128", help="slots afterwards")
    add("--lengths", default="14,16,24,32,48,60,96", help="to judge by")
    add("--controller", default=64, type=int, help="LSTM units")
    add("--batch-size", default=16, type=int)
    add("--learning-rate", default=3e-3, type=float, help="falls to nothing")
    add("--steps", default=250, type=int, help="updates in an epoch")
    add("--epochs", default=40, type=int)
    add("--output", default="runs/resize_memory", type=pathlib.Path)
    add("--seed", default=0, type=int)
    return parser.parse_args()


def copying(num_bits, shortest, longest):
    return RepeatCopyTask(num_bits, shortest, longest, max_repeats=1)


def wrong_bits(model, task, count, rng):
    """Give the wrong bits of a sequence, the mean of `count`."""
    batch = task.batch(count, rng)
    outputs = model.predict(batch.inputs, batch_size=64, verbose=0)
    return float(np.mean(task.bit_errors(batch, outputs)))


def build_model(task, settings):
    cell = keras_dnc.DNCCell(
        task.target_size,
        controller=settings.controller,
        memory_size=settings.memory_size,
        word_size=16,
        num_reads=2,
        normalize=True,
        link_sharpness=True,  # links are followed for longer than they were in training
    )
    inputs = keras.Input((None, task.observation_size))
    outputs = keras_dnc.MemoryRNN(cell, return_sequences=True)(inputs)
    return keras.Model(inputs, outputs)


def main():
    settings = parse_arguments()
    settings.output.mkdir(parents=True, exist_ok=True)
    keras_dnc.check_settings(settings.output / "config.json", vars(settings))
    keras.utils.set_random_seed(settings.seed)
    task = copying(settings.num_bits, 1, settings.max_length)
    model = build_model(task, settings)
    rate, updates = settings.learning_rate, settings.steps * settings.epochs
    rate = keras.optimizers.schedules.CosineDecay(rate, updates)
    model.compile(
        keras.optimizers.Adam(rate, global_clipnorm=10.0),
        keras_dnc.SequenceCrossentropy(),
        jit_compile=True,
    )
    keras_dnc.fit_or_resume(
        model,
        task.dataset(settings.batch_size, settings.steps, settings.seed),
        settings.output,
        monitor="loss",
        epochs=settings.epochs,
    )
    model.save(settings.output / "model.keras")

    slots = [settings.memory_size, *map(int, settings.larger.split(","))]
    resized = {size: keras_dnc.resize_memory(model, size) for size in slots}
    found = {}
    print("\nWrong bits a sequence\n\nlength" + "".join(f"{n:>5} slots" for n in slots))
    for length in map(int, settings.lengths.split(",")):
        whole = copying(settings.num_bits, length, length)
        found[length] = {
            size: wrong_bits(one, whole, 128, np.random.default_rng(settings.seed))
            for size, one in resized.items()
        }
        row = "".join(f"{wrong:>11.2f}" for wrong in found[length].values())
        print(f"{length:>6}{row}")
    (settings.output / "metrics.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
