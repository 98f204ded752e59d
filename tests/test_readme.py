"""The README's programs run as they stand there."""

import pathlib
import re

import keras
import numpy as np
import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"


def python_of_the_readme():
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.slow
@pytest.mark.only("tensorflow")
def test_the_quick_start_runs_and_is_at_most_15_lines(tmp_path, monkeypatch, capsys):
    code = python_of_the_readme()[0]
    assert len(code.strip().splitlines()) <= 15
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert (tmp_path / "copy.keras").exists()
    assert names["model"].output_shape == (None, None, 5)


@pytest.mark.slow
@pytest.mark.only("tensorflow")
def test_the_other_programs_run():
    _, improved, large, layers, *optimizers = python_of_the_readme()
    names = {}
    exec(compile(improved, "README.md", "exec"), names)
    assert names["larger"].layers[-1].cell.memory_size == 128
    exec(compile(large, "README.md", "exec"), names)
    assert names["model"].layers[-1].cell.memory_size == 2**20
    exec(compile(layers, "README.md", "exec"), names)
    tokens = np.array([[1, 2, 3, 0]])
    assert len(optimizers) == 2
    for program in optimizers:
        if "OptimizerMap" in program and not hasattr(keras.optimizers, "OptimizerMap"):
            continue
        exec(compile(program, "README.md", "exec"), names)
        before = [weight.numpy() for weight in names["model"].trainable_variables]
        fitted = names["model"].fit(tokens, np.ones((1, 4, 1000)), verbose=0)
        assert fitted.history["loss"][0] > 0.0
        after = [weight.numpy() for weight in names["model"].trainable_variables]
        moved = [np.max(np.abs(a - b)) for a, b in zip(after, before, strict=True)]
        values = [w.name == "values" for w in names["model"].trainable_variables]
        # The first step of Adam is the learning rate.
        for change, is_values in zip(moved, values, strict=True):
            assert change < 2e-3 if is_values else change < 5e-4
        assert max(moved) > 9e-4


def test_every_room_is_on_the_map():
    text = README.read_text()
    rooms = {p.name for p in (README.parent / "keras_dnc").iterdir()}
    for room in rooms - {"__init__.py", "__pycache__", "py.typed"}:
        assert re.search(rf"^\| `keras_dnc/{re.escape(room)}/?` \|", text, re.M), room
