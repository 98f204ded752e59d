"""The house stays in order: imports go one way, and TensorFlow stays in its rooms."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

import keras_dnc

ROOT = pathlib.Path(keras_dnc.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
PAPERS = {"dnc", "mann", "memn2n", "ntm", "product_key", "sparse"}
EVERYWHERE = {"arguments", "files", "lazy_modules", "signature", "typing"}
MAY_IMPORT = {  # room -> rooms of ours that it may import, besides itself
    "typing": set(),
    "signature": set(),
    "arguments": set(),
    "files": set(),
    "backend": set(),
    "ops": {"backend"},
    "cells": {"backend", "ops"},
    "bptt": {"backend", "ops", "cells"},
    **{paper: {"ops", "cells"} for paper in PAPERS},
    "bidirectional": {"cells", "dnc", "bptt"},
    "layouts": {"backend"},
    "tasks": set(),
    "training": {"backend"},
    "inspect": {"cells"},
    "export": {"backend", "cells"},
    "saved_models": {"export", "inspect", "tasks"},
    "__main__": {"saved_models"},
    "__init__": {"bidirectional", "bptt", "cells", "training", *PAPERS},
}
TENSORFLOW_AT_THE_TOP = {"tasks/babi/babi_dataset_builder.py"}
TENSORFLOW_IN_FUNCTIONS = {
    "backend/keras_internals.py",
    "backend/tensorflow.py",
    "dnc/checkpoint.py",
    "export/endpoints.py",
    "export/guide.py",
    "export/portable.py",
    "export/serving.py",
    "export/transports.py",
    "export/warmup.py",
    "inspect/tensorboard.py",
}


def imports(path):
    """Yield `(module, is it inside a function)` for every import."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = names if node.module == "keras_dnc" else [node.module]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            yield module, id(node) in inside


def room(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_import_one_way(path):
    ours = {m.split(".")[1] for m, _ in imports(path) if m.startswith("keras_dnc.")}
    assert ours - {room(path)} <= MAY_IMPORT[room(path)] | EVERYWHERE


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_tensorflow_stays_in_its_rooms(path):
    name = path.relative_to(ROOT).as_posix()
    for module, in_function in imports(path):
        if module.split(".")[0] in ("tensorflow", "tensorflow_datasets"):
            may = name in TENSORFLOW_IN_FUNCTIONS or name.startswith("tasks/")
            assert name in TENSORFLOW_AT_THE_TOP or (may and in_function)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_package_trains_without_tensorflow(backend):
    pytest.importorskip(backend)
    program = """
import sys
sys.modules["tensorflow"] = None  # importing it raises
import keras, keras_dnc, numpy as np
import keras_dnc.tasks.babi.prepare, keras_dnc.tasks.copy, keras_dnc.training.losses
import keras_dnc.inspect.trace, keras_dnc.inspect.plots, keras_dnc.export
import keras_dnc.saved_models
inputs = keras.Input((None, 5))
model = keras.Model(inputs, keras.layers.RNN(keras_dnc.DNCCell(3, 8, 7, 4))(inputs))
model.compile("adam", "mse")
model.fit(np.ones((2, 4, 5)), np.ones((2, 3)), verbose=0)
assert keras_dnc.export.StreamingClient(model).step(np.ones((1, 5))).shape == (1, 3)
"""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_every_public_name_is_there_and_documented():
    for name in keras_dnc.__all__:
        assert getattr(keras_dnc, name).__doc__
    assert keras_dnc.__all__ == sorted(keras_dnc.__all__)


def test_modules_are_imported_at_their_first_use():
    program = """
import sys, keras_dnc
lazy = {"export", "inspect", "saved_models", "tasks"}
imported = {name.split(".")[1] for name in sys.modules if name.startswith("keras_dnc.")}
assert not lazy & imported, imported
assert lazy <= set(dir(keras_dnc)) and "DNCCell" in dir(keras_dnc)
assert "__main__" not in vars(keras_dnc) and not hasattr(keras_dnc, "__main__")
assert {"copy", "graphs"} <= set(dir(keras_dnc.tasks))
assert callable(keras_dnc.export.export_for_serving)
assert callable(keras_dnc.inspect.trace.trace)
assert callable(keras_dnc.inspect.plots.plot_memory_use)
assert callable(keras_dnc.tasks.copy.CopyTask)
assert callable(keras_dnc.saved_models.load)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("package", [keras_dnc, keras_dnc.inspect, keras_dnc.tasks])
def test_a_name_that_is_not_there_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match=f"'{package.__name__}' has no .* 'nope'"):
        _ = package.nope


@pytest.mark.slow
def test_importing_the_package_imports_little():
    program = """
import sys, keras
before = set(sys.modules)
import keras_dnc
new = {name.split(".")[0] for name in set(sys.modules) - before}
assert new <= {"keras_dnc", "keras"}, new
"""
    subprocess.run([sys.executable, "-c", program], check=True)
