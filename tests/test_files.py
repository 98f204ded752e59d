"""A file is written whole or not at all."""

import os

import pytest

from keras_dnc import files
from keras_dnc.files import whole_file


def test_a_file_replaces_the_earlier_one(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("before")
    with whole_file(path) as partial:
        partial.write_text("after")
        assert path.read_text() == "before"
        assert partial.suffix == ".csv" and partial.parent == tmp_path
    assert os.listdir(tmp_path) == ["log.csv"] and path.read_text() == "after"


def fail(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch, failing):
    path = tmp_path / "log.csv"
    path.write_text("before")
    monkeypatch.setattr(files.os, failing, fail)
    with pytest.raises(OSError, match="No space left"), whole_file(path) as partial:
        partial.write_text("half")
    assert os.listdir(tmp_path) == ["log.csv"] and path.read_text() == "before"


def test_an_error_while_writing_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["log.csv"] and path.read_text() == "before"
