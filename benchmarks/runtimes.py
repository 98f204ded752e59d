"""An export's own time for each step, in several runtimes, without a server.

    python benchmarks/runtimes.py

Writes `runtimes.json`, and from it a table in `README.md`. Each runtime is a process of
its own; those that are not installed are skipped. A call takes arrays of NumPy and
returns arrays, the states of `step` too. The outputs are compared with those of the
SavedModel in TensorFlow.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from statistics import median

import numpy as np
from machine import installed
from machine import needs
from machine import stamp
from page import stamped
from page import write_figures
from worker import take_turn

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # `c_api.py` is in its tests
EXPORTS = HERE.parent / "saved_models"
SIGNATURES = ("step", "serving_default")
BATCH_SIZES = (1, 32)
TIME = 20  # steps of a sequence
ONE_THREAD = (
    b"\x10\x01\x28\x01"  # a `ConfigProto`: one thread in and between operations
)


def request(folder, signature, batch_size):
    """Make arrays for a signature: bits, and states of zeros."""
    specs = json.loads((folder / "signature.json").read_text())
    specs = specs["signatures"][signature]["inputs"]
    rng, arrays = np.random.default_rng(batch_size), {}
    for name, spec in specs.items():
        sizes = [batch_size, *(size or TIME for size in spec["shape"][1:])]
        bits = rng.integers(0, 2 if name == "inputs" else 1, sizes)
        arrays[name] = bits.astype(spec["dtype"])
    return arrays


def in_tensorflow(folder, threads, jit_compile=False):
    """Load a SavedModel in Python."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    loaded = tf.saved_model.load(str(folder))  # owns the variables of its signatures
    functions = dict(loaded.signatures)
    if jit_compile:
        functions = {name: compiled(f) for name, f in functions.items()}

    def run(signature, arrays, loaded=loaded):
        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        answer = functions[signature](**tensors)
        return {name: tensor.numpy() for name, tensor in answer.items()}

    return run


def compiled(signature):
    """Compile a signature with XLA."""
    import tensorflow as tf

    return tf.function(lambda **tensors: signature(**tensors), jit_compile=True)


def in_xla(folder, threads):
    """Load a SavedModel in Python, and compile its signatures."""
    return in_tensorflow(folder, threads, jit_compile=True)


def in_c(folder, threads):
    """Load a SavedModel with TensorFlow's C library."""
    from tests.export import c_api

    names = json.loads((folder / "names.json").read_text())
    config = ONE_THREAD if threads == 1 else b""
    return c_api.Model(c_api.load_library(), str(folder), names, config).run


def in_onnx_runtime(folder, threads):
    """Load the ONNX files of an export."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # 0: as many as cores
    sessions = {
        name: onnxruntime.InferenceSession(folder / f"{name}.onnx", options)
        for name in SIGNATURES
    }

    def run(signature, arrays):
        session = sessions[signature]
        taken = {given.name: arrays[given.name] for given in session.get_inputs()}
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, taken), strict=True))

    return run


def in_openvino(folder, threads):
    """Compile an export, and the ONNX file of its step, for float32."""
    import openvino

    core, config = openvino.Core(), {"INFERENCE_PRECISION_HINT": "f32"}
    config |= {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    # It reads no other signature from the folder, and not the loop of an ONNX file.
    paths = {"serving_default": folder, "step": folder / "step.onnx"}
    models = {
        name: core.compile_model(core.read_model(path), "CPU", config)
        for name, path in paths.items()
    }

    def run(signature, arrays):
        model = models[signature]
        found = model({x.any_name: arrays[x.any_name] for x in model.inputs})
        return {output.any_name: found[output] for output in model.outputs}

    return run


PACKAGES = {"ONNX Runtime": "onnxruntime", "OpenVINO": "openvino"}
RUNTIMES = {
    "TensorFlow in Python": in_tensorflow,
    "TensorFlow in Python, XLA": in_xla,
    "TensorFlow's C library": in_c,
    "ONNX Runtime": in_onnx_runtime,
    "OpenVINO": in_openvino,
}


def measure(runtime, folder, threads, outputs):
    """Return milliseconds by signature and batch size; write outputs to a file."""
    run = RUNTIMES[runtime](folder, threads)
    found, written = {}, {}
    for signature in SIGNATURES:
        steps = TIME if signature == "serving_default" else 1
        for size in BATCH_SIZES:
            arrays, case = request(folder, signature, size), f"{signature} {size}"
            written[case] = run(signature, arrays)["outputs"]
            seconds = take_turn(lambda s=signature, a=arrays: run(s, a))
            found[case] = 1e3 * median(seconds[1:]) / steps
    np.savez(outputs, **written)
    return found


def ask(runtime, folder, threads, outputs):
    """Measure in a process of its own."""
    print(f"  {runtime}, {threads}", file=sys.stderr, flush=True)
    job = [runtime, str(folder), str(threads), str(outputs)]
    done = subprocess.run(
        [sys.executable, __file__, "--job", *job],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def converted(folder, place):
    """Fill a folder with an export, its ONNX files, and names for the C library."""
    from keras_dnc.export import export_onnx
    from tests.export.c_api import names_in_the_graph
    from tests.export.servers import signature_defs

    for path in folder.iterdir():
        (place / path.name).symlink_to(path)
    for name in SIGNATURES:
        export_onnx(folder, place / f"{name}.onnx", name)
    names = names_in_the_graph(signature_defs(folder))
    (place / "names.json").write_text(json.dumps(names))
    return place


def of_model(name):
    """Measure one model in every runtime, on all cores and with one thread."""
    found, first = {}, None
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        folder = converted(EXPORTS / name / "serving" / "1", place)
        there = [r for r in RUNTIMES if installed(PACKAGES.get(r, "tensorflow"))]
        for runtime, threads in itertools.product(there, (0, 1)):
            row = ask(runtime, folder, threads, place / "outputs.npz")
            outputs = dict(np.load(place / "outputs.npz"))
            first = first or outputs
            row["difference"] = difference(outputs, first)
            found[f"{runtime}, {'one thread' if threads else 'all cores'}"] = row
    return found


def difference(outputs, expected):
    """Return the largest difference of whole sequences, of the largest output."""
    return max(
        float(np.max(np.abs(outputs[case] - array)) / np.max(np.abs(array)))
        for case, array in expected.items()
    )


def tables(results):
    """Yield the lines of all tables."""
    cases = [f"{name}`, {size}" for name in SIGNATURES for size in BATCH_SIZES]
    yield from stamped(results.get("stamp"))
    models = {name: found for name, found in results.items() if name != "stamp"}
    for model, found in models.items():
        yield f"| {model} | " + " | ".join(f"`{c}" for c in cases) + " | difference |"
        yield "|---" * (len(cases) + 2) + "|"
        for runtime, row in found.items():
            cells = [f"{row[case.replace('`,', '')]:.3f}" for case in cases]
            cells += [f"{row['difference']:.0e}"]
            yield f"| {runtime} | " + " | ".join(cells) + " |"
        yield ""


def parse_arguments():
    """Return the command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=["copy-ntm", "babi-dnc"])
    parser.add_argument("--job", nargs=4, help="measure one runtime, in this process")
    return parser.parse_args()


def main():
    """Measure, and write the page; models that are not measured stay as they were."""
    settings = parse_arguments()
    if settings.job:
        runtime, folder, threads, outputs = settings.job
        found = measure(runtime, pathlib.Path(folder), int(threads), outputs)
        print(json.dumps(found))
        return
    needs("tf2onnx")
    path = HERE / "runtimes.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    results |= {name: of_model(name) for name in settings.models} | {"stamp": stamp()}
    path.write_text(json.dumps(results, indent=1) + "\n")
    write_figures(tables(results), "runtimes", HERE)


if __name__ == "__main__":
    main()
