"""`python -m keras_dnc` lists models and talks to them; its errors are one line."""

import io
import os
import subprocess
import sys

import pytest

from keras_dnc import saved_models
from keras_dnc.__main__ import main


def test_the_models_are_listed(capsys):
    main([])
    said = capsys.readouterr().out
    assert all(f" {name} " in said for name in saved_models.available())
    assert "python -m keras_dnc ask babi-dnc" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--folder", "nowhere"], "Argument `folder` must be a folder of models"),
        (["ask", "nobody"], "Argument `name` must be one of .*'nobody'"),
        (
            ["ask", "copy-ntm"],
            r"must be a model that reads text, one of \['babi-dnc'\]",
        ),
    ],
)
def test_a_command_that_fails_says_why_in_a_line(
    arguments, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=said):
        main(arguments)


def test_models_without_settings_are_listed_all_the_same(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.keras").touch()
    main(["--folder", str(tmp_path)])
    assert " mine " in capsys.readouterr().out


@pytest.mark.slow
def test_a_model_is_asked(monkeypatch, capsys):
    story = "Mary went to the kitchen.\nWhere is Mary?\nwords\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(story))
    main(["ask", "babi-dnc"])
    *_, answer, words = capsys.readouterr().out.splitlines()
    assert answer.startswith(("kitchen 9", "kitchen 100.0%"))
    assert "hallway" in words.split()


@pytest.mark.slow
def test_an_interrupt_while_the_model_reads_ends_quietly(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(saved_models.Reader, "ask", interrupted)
    monkeypatch.setattr("sys.stdin", io.StringIO("Where is Mary?\n"))
    with pytest.raises(SystemExit) as caught:
        main(["ask", "babi-dnc"])
    assert caught.value.code == 130


@pytest.mark.slow
@pytest.mark.only("tensorflow")
def test_a_terminal_without_utf_8_gets_a_list(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.keras").touch()
    readme = tmp_path / "mine" / "README.md"
    readme.write_text("# Mine\n\nMemory of 3 × 4.\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "keras_dnc", "--folder", tmp_path],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Memory of 3 ? 4." in done.stdout
