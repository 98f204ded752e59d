"""One contender at one size, in a process of its own: so its memory can be measured.

Reads commands from standard input, one a line, and answers each with a line of JSON.
`train` and `forward` return the seconds of the slowest training step or forward pass of
the turn, in the first turn the one that compiles, the median of all but the first, the
process's peak of resident memory and by how much it has grown; `bytes`, on JAX, the
arguments and temporary buffers of the compiled gradient; `device`, on JAX and PyTorch,
the device's name and its peak of memory; `trace`, on JAX, the kernels of one training
step and one forward pass. An exception is answered with its first line, and ends the
process.
"""

import argparse
import contextlib
import functools
import json
import os
import pathlib
import re
import statistics
import sys
import time
import traceback
import types
from typing import NamedTuple

import numpy as np

FEATURES = 64  # numbers in an input and in an output
TURN = 0.3  # seconds; the first run of a turn finds caches cold and threads asleep
RECORDED = 101  # time steps after which PyTorch runs what `MemoryRNN` has recorded


class Size(NamedTuple):
    """Batch, time, memory_size, word_size, num_reads, units of the LSTM controller."""

    batch: int
    time: int
    slots: int
    word: int
    reads: int
    units: int


def keras_contender(size, layer, jit_compile, features=FEATURES):
    """A Keras model of one recurrent layer, on the backend that Keras has taken."""
    import keras

    inputs = keras.Input(batch_shape=(size.batch, size.time, features))
    outputs = layer(inputs)
    if outputs.shape[-1] != features:
        outputs = keras.layers.Dense(features)(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=jit_compile)
    x = np.random.default_rng(0).normal(size=inputs.shape).astype("float32")
    compiled = compiled_forward(model, jit_compile)

    def train():
        if not model.optimizer.built:  # in the first step: Keras traces it only once
            model.optimizer.build(model.trainable_variables)
        train_and_wait(model, x)

    def forward():
        return np.asarray(compiled(x))

    return {
        "train": train,
        "forward": forward,
        "bytes": lambda: {"bytes": gradient_bytes(model, x)},
        "device": jax_device,
        "trace": lambda: traces(train, forward, layer, x),
    }


def train_and_wait(model, x):
    """Train on one batch, until the device has updated the weights."""
    import keras

    model.train_on_batch(x, x)
    if keras.backend.backend() == "jax":
        import jax

        jax.block_until_ready([v.value for v in model.trainable_variables])


def jax_device():
    """Name of JAX's device, and its peak of memory, which a CPU does not tell."""
    import jax

    device = jax.devices()[0]
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    return {"device": device.device_kind, "device_bytes": peak}


def traces(train, forward, layer, x):
    """Kernels of a training step and a forward pass, and bytes of one time step."""
    import gpu_trace

    found = {"train": gpu_trace.traced(train), "forward": gpu_trace.traced(forward)}
    cell = getattr(layer, "cell", None)
    # Alone, a step of a sparse memory copies the rows that the loop edits in place.
    if cell is None or getattr(cell, "numbers_slots", False):
        return {**found, "step_bytes": None}
    return {**found, "step_bytes": gpu_trace.step_bytes(cell, x[:, 0])}


def gradient_bytes(model, x):
    """What XLA sets aside for the gradient of the loss, on JAX."""
    import jax
    from keras import ops

    trainable = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]

    def loss(trainable, x):
        outputs, _ = model.stateless_call(trainable, others, x, training=True)
        return ops.mean(ops.square(outputs - x))

    compiled = jax.jit(jax.grad(loss)).lower(trainable, x).compile()
    found = compiled.memory_analysis()
    return found.argument_size_in_bytes + found.temp_size_in_bytes


def compiled_forward(model, jit_compile):
    """The model's forward pass as a compiled function."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        call = tf.function(model, jit_compile=jit_compile)
        return lambda x: call(tf.constant(x), training=False)
    if keras.backend.backend() == "torch":
        import torch

        called = torch.compile(model) if jit_compile else model
        return functools.partial(without_gradient, called)
    import jax

    call = jax.jit(lambda *a: model.stateless_call(*a, training=False)[0])

    def forward(x):
        trainable = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]
        return call(trainable, others, x)

    return forward


def without_gradient(model, x):
    """The forward pass of a model on PyTorch."""
    import torch

    with torch.no_grad():
        return model(x, training=False).numpy()


def one_thread_per_operation(size):
    """The DNC of this package in a TensorFlow graph, each operation on one thread."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    return ours(size, jit_compile=False)


def two_devices(size):
    """The DNC of this package on JAX, the batch divided over two virtual devices."""
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    import keras

    keras.distribution.set_distribution(keras.distribution.DataParallel())
    return ours(size)


def ours(size, layer="MemoryRNN", jit_compile=True, policy="float32"):
    """The DNC of this package, in `MemoryRNN` or in `keras.layers.RNN`."""
    import keras

    import keras_dnc

    keras.config.set_dtype_policy(policy)
    cell = keras_dnc.DNCCell(FEATURES, size.units, size.slots, size.word, size.reads)
    kind = keras_dnc.MemoryRNN if layer == "MemoryRNN" else keras.layers.RNN
    return keras_contender(size, kind(cell, return_sequences=True), jit_compile)


def sparse(size, cell="SAMCell", **arguments):
    """A sparse cell of this package, in `MemoryRNN`."""
    import keras_dnc

    make = getattr(keras_dnc, cell)
    cell = make(FEATURES, size.units, size.slots, size.word, size.reads, **arguments)
    layer = keras_dnc.MemoryRNN(cell, return_sequences=True)
    return keras_contender(size, layer, jit_compile=True)


def product_key(size, top_k=32):
    """A product-key memory: `units` numbers in a key, `word` in a value."""
    import keras_dnc

    layer = keras_dnc.ProductKeyMemory(
        size.word, size.slots, size.reads, top_k, size.units
    )
    return keras_contender(size, layer, jit_compile=True, features=size.word)


def dense_ntm(size):
    """A dense NTM in `keras.layers.RNN`."""
    import keras
    from dense_ntm import DenseNTMCell

    cell = DenseNTMCell(FEATURES, size.units, size.slots, size.word, size.reads)
    layer = keras.layers.RNN(cell, return_sequences=True)
    return keras_contender(size, layer, jit_compile=True)


def lstm(size):
    """The floor: Keras's LSTM of the controller's size, without a memory."""
    import keras

    layer = keras.layers.LSTM(size.units, return_sequences=True)
    return keras_contender(size, layer, jit_compile=True)


def pytorch_dnc(size, kind="DNC", gpu_id=-1, **arguments):
    """PyPI's `dnc`: one LSTM layer, outputs as wide as inputs; the same work."""
    import torch

    device = "cpu" if gpu_id == -1 else f"cuda:{gpu_id}"
    model = pytorch_model(size, kind, gpu_id=gpu_id, **arguments).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size.batch, size.time, FEATURES, generator=generator)
    empty = (None, None, None)
    # The sparse memories write into tensors that PyTorch has kept for the gradient.
    mutation = torch.autograd.graph.allow_mutation_on_saved_tensors
    if kind == "DNC":
        mutation = contextlib.nullcontext

    def train():
        with mutation():
            optimizer.zero_grad()
            moved = x.to(device)
            outputs, _ = model(moved, empty, reset_experience=True)
            loss = torch.nn.functional.mse_loss(outputs, moved)
            loss.backward()
        optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize()
        return loss.item()

    def forward():
        with torch.no_grad():
            outputs, _ = model(x.to(device), empty, reset_experience=True)
            return outputs.cpu().numpy()

    return {
        "train": train,
        "forward": forward,
        "device": lambda: torch_device(device),
    }


def pytorch_model(size, kind, **arguments):
    """A module of PyPI's `dnc`."""
    if kind != "DNC":
        sys.modules["pyflann"] = flann_by_faiss()
    import dnc

    return getattr(dnc, kind)(
        input_size=FEATURES,
        hidden_size=size.units,
        num_layers=1,
        num_hidden_layers=1,
        nr_cells=size.slots,
        cell_size=size.word,
        read_heads=size.reads,
        batch_first=True,
        **arguments,
    )


def torch_device(device):
    """Name of PyTorch's device, and its peak of memory, which a CPU does not tell."""
    import torch

    if device == "cpu":
        return {"device": "cpu", "device_bytes": None}
    peak = torch.cuda.max_memory_allocated(device)
    return {"device": torch.cuda.get_device_name(device), "device_bytes": peak}


def flann_by_faiss():
    """A `pyflann` for `dnc`, which cannot be installed any more: faiss's exact search.

    On CPUs, `dnc` searches by FLANN and builds its index anew at each write; filling
    this one is a copy.
    """
    import faiss

    class FLANN:
        def build_index(self, rows, **_):
            self.index = faiss.IndexFlatL2(rows.shape[1])
            self.index.add(np.ascontiguousarray(rows, "float32"))

        def nn_index(self, keys, num_neighbors):
            keys = np.ascontiguousarray(keys, "float32")
            return self.index.search(keys, num_neighbors)[::-1]

        def delete_index(self):
            self.index = None

    module = types.ModuleType("pyflann")
    module.FLANN = FLANN
    return module


CONTENDERS = {  # name: (Keras's backend, function of the size)
    "keras_dnc, TensorFlow with XLA": ("tensorflow", ours),
    "keras_dnc, JAX": ("jax", ours),
    "keras_dnc, TensorFlow graph": (
        "tensorflow",
        lambda size: ours(size, jit_compile=False),
    ),
    "keras_dnc, TensorFlow graph, one thread per operation": (
        "tensorflow",
        one_thread_per_operation,
    ),
    "keras_dnc, JAX, two devices of one CPU": ("jax", two_devices),
    "keras_dnc, PyTorch": ("torch", lambda size: ours(size, jit_compile=False)),
    "keras_dnc, PyTorch, torch.compile": ("torch", ours),
    "keras_dnc in keras.layers.RNN, TensorFlow with XLA": (
        "tensorflow",
        lambda size: ours(size, layer="RNN"),
    ),
    "dnc 1.1.0, PyTorch": ("torch", pytorch_dnc),
    "keras.layers.LSTM, TensorFlow with XLA": ("tensorflow", lstm),
}

TF = "tensorflow"
SPARSE = {  # the same, for sparse.py
    "SAM, exact": (TF, sparse),
    "SAM, lsh": (TF, lambda size: sparse(size, search="lsh")),
    "SDNC, lsh": (TF, lambda size: sparse(size, "SDNCCell", search="lsh")),
    "SDNC, exact": (TF, lambda size: sparse(size, "SDNCCell")),
    "SAM, exact, JAX": ("jax", sparse),
    "SAM, lsh, JAX": ("jax", lambda size: sparse(size, search="lsh")),
    "SDNC, exact, JAX": ("jax", lambda size: sparse(size, "SDNCCell")),
    "NTM, dense": (TF, dense_ntm),
    "NTM, dense, JAX": ("jax", dense_ntm),
    "DNC, dense": (TF, ours),
    "DNC, dense, in keras.layers.RNN": (TF, lambda size: ours(size, layer="RNN")),
    "DNC, dense, in keras.layers.RNN, JAX": (
        "jax",
        lambda size: ours(size, layer="RNN"),
    ),
    "dnc 1.1.0 SAM": ("torch", lambda size: pytorch_dnc(size, "SAM")),
    "dnc 1.1.0 SDNC": ("torch", lambda size: pytorch_dnc(size, "SDNC")),
}

GPU = {  # the same, for gpu.py
    "keras_dnc, JAX, bfloat16 controller": (
        "jax",
        functools.partial(ours, policy="mixed_bfloat16"),
    ),
    "dnc 1.1.0, PyTorch, CUDA": ("torch", functools.partial(pytorch_dnc, gpu_id=0)),
    "keras.layers.LSTM, JAX": ("jax", lstm),
    "ProductKeyMemory, JAX": ("jax", product_key),
}
ALL = CONTENDERS | SPARSE | GPU


def needed(contender):
    """Return the packages that a contender imports."""
    backend, _ = ALL[contender]
    if contender.startswith("dnc "):
        searches = ("faiss",) if contender in SPARSE else ()
        return (backend, "dnc", *searches)
    return (backend, "keras")


def peak_bytes():
    """The process's peak of resident memory so far, by Linux's account.

    The peak that `getrusage` gives starts at that of the process that started this one.
    """
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def take_turn(run, least=2):
    """Run at least so often, until the turn is over; return the seconds of each run."""
    seconds = []
    while len(seconds) < least or sum(seconds[1:]) < TURN:
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds


def main():
    """Answer commands until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contender", choices=ALL, required=True)
    parser.add_argument("--size", type=int, nargs=6, required=True)
    arguments = parser.parse_args()
    size = Size(*arguments.size)
    backend, make = ALL[arguments.contender]
    os.environ["KERAS_BACKEND"] = backend
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print
    try:
        commands, before = make(size), peak_bytes()
        least = dict.fromkeys(("train", "forward"), 2 + RECORDED // size.time)
        for command in map(str.strip, sys.stdin):
            answer = execute(commands, command, before, least.pop(command, 2))
            print(json.dumps(answer), file=answers)
    except Exception as error:
        print(json.dumps({"error": first_line(error)}), file=answers)
        traceback.print_exc()
        sys.exit(1)


def first_line(error):
    """Kind of an exception, and the first line of its text, or else of its source."""
    source = traceback.extract_tb(error.__traceback__)[-1].line
    line, *_ = [*str(error).strip().splitlines(), source]
    return f"{type(error).__name__}: {line}"


def execute(commands, name, before, least):
    """Return the answer to one command."""
    if name not in ("train", "forward"):
        return commands[name]()
    seconds = take_turn(commands[name], least)
    peak = peak_bytes()
    return {
        "first": max(seconds),
        "seconds": statistics.median(seconds[1:]),
        "added_bytes": peak - before,
        "peak_bytes": peak,
    }


if __name__ == "__main__":
    main()
