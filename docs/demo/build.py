"""Build the files that the demo page loads: ONNX Runtime, two models, `demo.json`.

    python docs/demo/build.py

The files are written to `docs/demo/built`, which is not under version control. If they
are there and nothing that they are made from has changed, nothing is done. The script
needs `pip install '.[onnx]'`, and npm to download ONNX Runtime Web. Without npm
the page says how to build it, and the rest of the documentation is not affected.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import numpy as np

from keras_dnc.tasks import babi
from keras_dnc.tasks.babi import encoding
from keras_dnc.tasks.babi import source

STORIES, COPY = "babi-dnc", "copy-ntm"  # folders of saved_models
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = {  # from names in the npm package to names here
    "ort.wasm.bundle.min.mjs": "ort.js",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}
DEMO = pathlib.Path(__file__).parent
MODELS = DEMO.parent.parent / "saved_models"


class MissingError(Exception):
    """ONNX Runtime Web cannot be downloaded here; the message says why."""


def build(target):
    """Write the files of the demo, all of them or none.

    Args:
        target: `pathlib.Path` of the folder to write, which is replaced.

    Raises:
        MissingError: There is no npm, or it cannot download the package.
    """
    made_from = _fingerprint()
    about = target / "demo.json"
    if about.exists() and json.loads(about.read_text())["made_from"] == made_from:
        return
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        files = pathlib.Path(folder) / "built"
        files.mkdir()
        _download_runtime(files)
        content = {
            "made_from": made_from,
            "runtime": RUNTIME,
            "stories": _stories(files),
            "copy": _copy(files),
        }
        content["bytes"] = sum(file.stat().st_size for file in files.iterdir())
        (files / about.name).write_text(json.dumps(content))
        shutil.rmtree(target, ignore_errors=True)
        os.replace(files, target)


def _fingerprint():
    """Compute a hash of everything that the files are made from."""
    sources = [pathlib.Path(__file__)]
    for name in (STORIES, COPY):
        sources += [MODELS / name / "config.json", MODELS / name / "metrics.json"]
        sources += sorted(p for p in _newest(name).rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _newest(name):
    """Return the folder of the newest export of a model."""
    versions = [p for p in (MODELS / name / "serving").iterdir() if p.name.isdigit()]
    return max(versions, key=lambda path: int(path.name))


def _download_runtime(files):
    """Write the files of ONNX Runtime Web that a browser needs."""
    npm = shutil.which("npm")
    if npm is None:
        raise MissingError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", RUNTIME, "--silent", "--pack-destination", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise MissingError(f"`npm pack {RUNTIME}` failed:\n{done.stderr.strip()}")
        (archive,) = pathlib.Path(folder).iterdir()
        with tarfile.open(archive) as members:
            for theirs, ours in RUNTIME_FILES.items():
                content = members.extractfile(f"package/dist/{theirs}").read()
                (files / ours).write_bytes(content)


def _stories(files):
    """Export the model that reads stories, and describe it."""
    config = json.loads((MODELS / STORIES / "config.json").read_text())
    vocabulary = babi.Vocabulary(config["words"])
    served, step = _exported(STORIES, files)
    thinking_steps = config.get("thinking_steps", 0)
    examples = _examples(config["tasks"], vocabulary, thinking_steps, served)
    return {
        **step,
        "words": vocabulary.words,
        "unknown": encoding.UNKNOWN,
        "answer": encoding.ANSWER,
        "blank": encoding.BLANK,
        "thinking_steps": thinking_steps,
        "examples": examples,
    }


def _exported(name, files):
    """Write the step of a model as an ONNX file.

    Returns:
        `(served, step)`: the SavedModel, and a dict with the name of the model, of its
        file, and with the state at the start of a sequence.
    """
    import tensorflow as tf

    from keras_dnc.export.portable import export_onnx

    folder = _newest(name)
    file = export_onnx(folder, files / f"{name}.onnx", signature="step")
    served = tf.saved_model.load(str(folder))
    start = served.signatures["initial_state"](batch_size=tf.constant(1))
    states = {name: _compact(tensor.numpy()) for name, tensor in start.items()}
    return served, {"name": name, "file": file.name, "start": states}


def _compact(array):
    """Describe an array; `values` is one number if all are equal."""
    values = array.ravel().tolist()
    is_constant = len(set(values)) == 1
    return {"shape": array.shape, "values": values[0] if is_constant else values}


def _examples(tasks, vocabulary, thinking_steps, served):
    """Return the stories of the package that the model answers without an error."""
    tasks = babi.TASK_NAMES if tasks == "all" else map(int, tasks.split(","))
    folder = source.find_source(pathlib.Path(babi.__file__).parent / "dummy_data")
    found = []
    for story in source.read_stories(folder, "en-10k", "test", list(tasks)):
        encoded = babi.encode_story(story, vocabulary, thinking_steps)
        answer = served.signatures["serving_default"](inputs=encoded.tokens[None])
        best = answer["outputs"].numpy()[0].argmax(-1)
        if np.all((best == encoded.targets)[encoded.weights > 0]):
            title = f"{babi.TASK_NAMES[story.task]} (task {story.task})"
            text = "\n".join(map(_shown, story.lines))
            expected = encoded.targets[encoded.weights > 0].tolist()
            found.append({"title": title, "text": text, "expected": expected})
    return found


def _shown(line):
    """Return a line as a visitor types it, with `-` for each word of a long answer."""
    count = len(encoding.answer_words(line.answer))
    return " ".join([line.text] + [encoding.ANSWER] * (count if count > 1 else 0))


def _copy(files):
    """Export the model that copies patterns, and describe it."""
    metrics = json.loads((MODELS / COPY / "metrics.json").read_text())
    lengths = sorted(map(int, metrics["by_length"]))
    _, step = _exported(COPY, files)
    (_, bits) = step["start"]["output"]["shape"]
    return {**step, "bits": bits, "first_length": lengths[0], "longest": lengths[-1]}


if __name__ == "__main__":
    try:
        build(DEMO / "built")
    except MissingError as error:
        print(f"The demo page is left without its models: {error}", file=sys.stderr)
