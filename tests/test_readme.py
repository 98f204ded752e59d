"""The README's quick start runs as it stands there."""

import pathlib
import re

import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"


@pytest.mark.only("tensorflow")
def test_the_quick_start_runs_and_is_at_most_15_lines(tmp_path, monkeypatch, capsys):
    code, large = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(code.strip().splitlines()) <= 15
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert (tmp_path / "copy.keras").exists()
    assert names["model"].output_shape == (None, None, 5)
    exec(compile(large, "README.md", "exec"), names)
    assert names["model"].layers[-1].cell.memory_size == 2**20


def test_every_room_is_on_the_map():
    text = README.read_text()
    rooms = {p.name for p in (README.parent / "keras_dnc").iterdir()}
    for room in rooms - {"__init__.py", "__pycache__"}:
        assert re.search(rf"^\| `keras_dnc/{re.escape(room)}/?` \|", text, re.M), room
