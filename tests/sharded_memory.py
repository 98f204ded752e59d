"""Compare memories distributed over four virtual devices with those of one device.

    KERAS_BACKEND=jax python -m tests.sharded_memory

Prints a line of JSON for each model: differences of outputs and gradients, relative to
the largest; bytes of temporary buffers on one device and on one of four; and the sizes
of all tensors that travel between devices.
"""

import json
import os
import re

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import keras
import numpy as np

import keras_dnc
from keras_dnc.layouts import memory_layout

SLOTS, WORD, BATCH, TIME = 4096, 16, 2, 6
SIZES = {"controller": 8, "memory_size": SLOTS, "word_size": WORD, "num_reads": 2}
INPUTS = np.random.default_rng(0).normal(size=(BATCH, TIME, 5)).astype("float32")
COLLECTIVE = re.compile(
    r"= \(?(.*?)\)? (?:all-gather|all-reduce|all-to-all|collective-permute|"
    r"reduce-scatter)(?:-start)?\("
)


def recurrent(kind, **options):
    return keras_dnc.MemoryRNN(kind(3, **SIZES, **options), return_sequences=True)


MODELS = {
    "SAM": lambda: recurrent(keras_dnc.SAMCell),
    "SAM, lsh": lambda: recurrent(keras_dnc.SAMCell, search="lsh"),
    "SDNC": lambda: recurrent(keras_dnc.SDNCCell),
    "product keys": lambda: keras_dnc.ProductKeyMemory(
        WORD, num_slots=SLOTS, query_normalization=False
    ),
}


def model_of(make, weights=None):
    inputs = keras.Input(batch_shape=INPUTS.shape)
    model = keras.Model(inputs, make()(inputs))
    if weights is not None:
        model.set_weights(weights)
    return model


def compiled(model):
    """Compile the gradient of a model; return it with its arguments."""
    trainable = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]

    def loss(trainable, inputs):
        outputs, _ = model.stateless_call(trainable, others, inputs, training=True)
        return (outputs**2).sum(), outputs

    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    return gradient.lower(trainable, INPUTS).compile(), trainable


def measured(model):
    """Return outputs and gradients, the bytes of buffers, and what travels."""
    gradient, trainable = compiled(model)
    (_, outputs), gradients = gradient(trainable, INPUTS)
    sizes = [
        int(np.prod([int(size) for size in shape.split(",") if size]))
        for tensors in COLLECTIVE.findall(gradient.as_text())
        for shape in re.findall(r"\w+\[([\d,]*)\]", tensors)
    ]
    memory = gradient.memory_analysis()
    held = memory.temp_size_in_bytes + memory.argument_size_in_bytes
    return [np.asarray(t) for t in (outputs, *gradients)], held, sizes


def distribute():
    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh((1, 4), ["batch", "model"], devices)
    layout_map = memory_layout(mesh)
    distribution = keras.distribution.ModelParallel(layout_map=layout_map)
    keras.distribution.set_distribution(distribution)


def difference(actual, expected):
    scale = np.max(np.abs(expected)) + 1e-9
    return float(np.max(np.abs(actual - expected)) / scale)


def main():
    models = {name: model_of(make) for name, make in MODELS.items()}
    alone = {name: measured(model) for name, model in models.items()}
    distribute()
    for name, make in MODELS.items():
        expected, bytes_alone, _ = alone[name]
        distributed = model_of(make, models[name].get_weights())
        tensors, bytes_of_four, travelling = measured(distributed)
        pairs = zip(tensors, expected, strict=True)
        found = {"name": name, "difference": max(difference(*pair) for pair in pairs)}
        found |= {"bytes": [bytes_alone, bytes_of_four], "travelling": travelling}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
