"""Train a Differentiable Neural Computer to repeat what it saw, and look inside it.

    python examples/train_repeat_copy.py

Trains until 512 fresh sequences come back without a wrong bit, draws how the memory was
used, exports a SavedModel, and reloads that with TensorFlow alone.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np

import keras_dnc
from keras_dnc.export import export_for_serving
from keras_dnc.inspect.plots import plot_memory_use
from keras_dnc.inspect.trace import trace
from keras_dnc.tasks.copy import RepeatCopyTask


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--num-bits", default=4, type=int)
    add("--max-length", default=2, type=int)
    add("--max-repeats", default=2, type=int)
    add("--controller-units", default=64, type=int)
    add("--memory-size", default=16, type=int)
    add("--word-size", default=16, type=int)
    add("--num-reads", default=4, type=int)
    add("--batch-size", default=16, type=int)
    add("--learning-rate", default=3e-3, type=float)
    add("--steps", default=250, type=int, help="updates in an epoch")
    add("--epochs", default=60, type=int, help="at most; training ends when solved")
    add("--test-size", default=512, type=int, help="fresh sequences to judge by")
    add("--output", default="runs/repeat_copy", type=pathlib.Path)
    add("--seed", default=0, type=int)
    return parser.parse_args()


class StopWhenSolved(keras.callbacks.Callback):
    """Count wrong bits in new sequences after each epoch; stop at twice none."""

    def __init__(self, task, settings):
        super().__init__()
        self.task = task
        self.size = 4 * settings.test_size
        self.rng = np.random.default_rng([settings.seed, 1])
        self.last_errors = None

    def on_epoch_end(self, epoch, logs=None):
        batch = self.task.batch(self.size, self.rng)
        errors = logs["bit_errors"] = count_bit_errors(self.model, self.task, batch)
        self.model.stop_training = errors == self.last_errors == 0
        self.last_errors = errors


def count_bit_errors(model, task, batch):
    outputs = model.predict(batch.inputs, batch_size=128, verbose=0)
    return int(np.sum(task.bit_errors(batch, outputs)))


def build_model(task, settings):
    cell = keras_dnc.DNCCell(
        output_size=task.target_size,
        controller=settings.controller_units,
        memory_size=settings.memory_size,
        word_size=settings.word_size,
        num_reads=settings.num_reads,
    )
    inputs = keras.Input((None, task.observation_size))
    outputs = keras.layers.RNN(cell, return_sequences=True, name="dnc")(inputs)
    return keras.Model(inputs, outputs)


def write_json(path, content):
    path.write_text(json.dumps(content, indent=1, default=str) + "\n")


def check_export(model, batch, path):
    """Ask the SavedModel and the model the same; TensorFlow alone runs the first."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    served = loaded.signatures["serving_default"](inputs=tf.constant(batch.inputs))
    # The SavedModel is a plain graph; XLA, and operations one by one, round otherwise.
    model.compile(jit_compile=False)
    expected = model.predict(batch.inputs, verbose=0)
    difference = np.max(np.abs(served["outputs"].numpy() - expected))
    print(f"SavedModel {path}: largest difference to the model {difference:.1e}")
    if difference > 1e-5:
        raise SystemExit("The SavedModel does not give the model's numbers.")


def main():
    settings = parse_arguments()
    settings.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(settings.seed)
    keras_dnc.cache_compiled_programs("runs/xla")
    task = RepeatCopyTask(
        settings.num_bits,
        max_length=settings.max_length,
        max_repeats=settings.max_repeats,
    )
    model = build_model(task, settings)
    model.compile(
        keras.optimizers.Adam(settings.learning_rate, global_clipnorm=10.0),
        keras_dnc.SequenceCrossentropy(),
        jit_compile=True,
    )
    started = time.perf_counter()
    fitted = model.fit(
        task.dataset(settings.batch_size, settings.steps, settings.seed),
        epochs=settings.epochs,
        callbacks=[StopWhenSolved(task, settings)],
    )
    seconds = time.perf_counter() - started
    fresh = task.batch(settings.test_size, np.random.default_rng([settings.seed, 2]))
    errors = count_bit_errors(model, task, fresh)
    print(f"\nTrained in {seconds:.0f} s.")
    print(f"Wrong bits in {settings.test_size} fresh sequences: {errors}")

    model.save(settings.output / "model.keras")
    write_json(settings.output / "config.json", vars(settings))
    metrics = {"wrong_bits": errors, "sequences": settings.test_size}
    metrics |= {"epochs": len(fitted.epoch), "seconds": round(seconds)}
    write_json(settings.output / "metrics.json", metrics)
    look = task.batch(1, np.random.default_rng(settings.seed))
    figure = plot_memory_use(trace(model, look.inputs), look.targets)
    figure.savefig(settings.output / "memory.png", dpi=120)
    print(f"Memory use: {settings.output / 'memory.png'}")
    path = export_for_serving(
        model, settings.output / "serving", name="repeat-copy-dnc"
    )
    check_export(model, fresh, path)
    if errors:
        raise SystemExit("Not solved: train on, with more --epochs.")


if __name__ == "__main__":
    main()
