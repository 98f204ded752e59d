"""export_onnx and export_litert: what they refuse, and files that are whole or absent.

`test_runtimes.py` compares the numbers of whole models.
"""

import importlib.util
import os
import shutil
import subprocess
import types

import numpy as np
import pytest

from keras_dnc.export import export_litert
from keras_dnc.export import export_onnx
from keras_dnc.export import portable

pytestmark = pytest.mark.only("tensorflow")
EXPORTERS = [export_onnx, export_litert]
DATA = "variables/variables.data-00000-of-00001"


def summing(tf):
    """Functions of a model whose state is the sum of its inputs, times a weight."""
    module = tf.Module()
    module.weight = tf.Variable(tf.ones(3))

    def step(inputs, total):
        total = total + inputs * module.weight
        return {"outputs": total, "total": total}

    def initial_state(batch_size):
        return {"total": tf.zeros((batch_size, 3)) * module.weight}

    numbers = [tf.TensorSpec((None, 3), tf.float32, n) for n in ("inputs", "total")]
    size = tf.TensorSpec((), tf.int32, "batch_size")
    return module, {
        "step": tf.function(step).get_concrete_function(*numbers),
        "initial_state": tf.function(initial_state).get_concrete_function(size),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a small SavedModel with the signatures of one step."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("whole") / "1"
    module, functions = summing(tf)
    tf.saved_model.save(module, str(folder), functions)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of it, to damage."""
    return shutil.copytree(whole, tmp_path / "model" / "1")


@pytest.mark.parametrize("export", EXPORTERS)
@pytest.mark.parametrize("place", ["model", "nowhere", "model/1/saved_model.pb"])
def test_a_folder_without_a_saved_model_is_named(folder, tmp_path, export, place):
    message = f"`folder` must be .*{place}', without a file saved_model.pb"
    with pytest.raises(FileNotFoundError, match=message):
        export(tmp_path / place, tmp_path / "file")


@pytest.mark.parametrize("export", EXPORTERS)
@pytest.mark.parametrize(
    "file,content",
    [
        ("saved_model.pb", b""),
        ("saved_model.pb", b"garbage" * 40),
        ("variables/variables.index", None),
        ("variables/variables.index", b"garbage" * 40),
        (DATA, None),
        (DATA, b""),
        (DATA, b"garbage" * 40),
    ],
)
def test_a_damaged_saved_model_is_refused(folder, tmp_path, export, file, content):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    arguments = {"signature": "step"} if export is export_onnx else {}
    with pytest.raises(ValueError, match=r"model/1', which is damaged") as raised:
        export(folder, tmp_path / "file", **arguments)
    assert type(raised.value) is ValueError
    assert list(tmp_path.iterdir()) == [folder.parent]


@pytest.mark.parametrize("export", EXPORTERS)
@pytest.mark.parametrize(
    "path,kind,message",
    [
        ("absent/file", FileNotFoundError, "`path` must be in a folder that exists"),
        (".", ValueError, "`path` must be the name of a file"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_before_loading(
    whole, tmp_path, monkeypatch, export, path, kind, message
):
    monkeypatch.setattr(portable, "_loaded", None)
    arguments = {"signature": "step"} if export is export_onnx else {}
    with pytest.raises(kind, match=message):
        export(whole, tmp_path / path, **arguments)


def test_a_step_without_a_state_to_start_from_is_refused(whole, tmp_path):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(whole))
    step = {"step": loaded.signatures["step"]}
    tf.saved_model.save(loaded, str(tmp_path / "step"), step)
    with pytest.raises(
        ValueError, match=r"`folder` must be .* which lacks \['initial_state'\]"
    ):
        export_litert(tmp_path / "step", tmp_path / "model.tflite")


def converter(returncode, content):
    """A stand-in for `subprocess.run`, in which tf2onnx writes `content`, if any."""

    def run(command, **options):
        if content is not None:
            with open(command[command.index("--output") + 1], "wb") as file:
                file.write(content)
        return types.SimpleNamespace(returncode=returncode, stderr="out of memory")

    return run


@pytest.mark.parametrize("returncode,content", [(1, b"half"), (1, None), (0, None)])
def test_an_onnx_file_that_cannot_be_written_leaves_the_old_one(
    whole, tmp_path, monkeypatch, returncode, content
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(subprocess, "run", converter(returncode, content))
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="could not convert .*\n.*out of memory"):
        export_onnx(whole, path, "step")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_onnx_file_replaces_the_old_one_when_it_is_whole(
    whole, tmp_path, monkeypatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(subprocess, "run", converter(0, b"new"))
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    assert export_onnx(whole, str(path), "step") == path
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_litert_file_that_cannot_be_written_leaves_the_old_one(
    whole, tmp_path, monkeypatch
):
    def fail(*arguments):
        raise OSError("disk full")

    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        export_litert(whole, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_small_litert_file_sums_its_inputs(whole, tmp_path):
    import tensorflow as tf

    path = export_litert(whole, tmp_path / "model.tflite", batch_size=2)
    assert list(tmp_path.iterdir()) == [path]
    interpreter = tf.lite.Interpreter(str(path))
    step = interpreter.get_signature_runner("step")
    state = interpreter.get_signature_runner("initial_state")()
    inputs = np.arange(6, dtype="float32").reshape(2, 3)
    for total in (inputs, 2 * inputs):
        answer = step(inputs=inputs, **state)
        state = {"total": answer["total"]}
        np.testing.assert_array_equal(answer["outputs"], total)
