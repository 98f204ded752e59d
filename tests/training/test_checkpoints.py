"""A checkpoint is whole or is not used."""

import os

import ml_dtypes
import numpy as np
import pytest

from keras_dnc import files
from keras_dnc.training.checkpoints import Checkpoint
from keras_dnc.training.checkpoints import newest_checkpoint
from keras_dnc.training.checkpoints import write_checkpoint


def checkpoint(epoch):
    arrays = {
        "half": np.arange(3, dtype="float16"),
        "brain": np.arange(3).astype(ml_dtypes.bfloat16),
        "scalar": np.array(epoch),
        "none": np.zeros((0, 2), "float32"),
    }
    return Checkpoint(epoch, {"figure": 0.1 + epoch, "text": "ä"}, arrays)


def assert_equal(found, expected):
    assert found.epoch == expected.epoch and found.record == expected.record
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_a_checkpoint_is_read_as_it_was_written(tmp_path):
    write_checkpoint(tmp_path / "new", checkpoint(3))
    assert_equal(newest_checkpoint(tmp_path / "new"), checkpoint(3))


def test_the_last_two_checkpoints_are_kept(tmp_path):
    for epoch in (8, 9, 10, 11):
        write_checkpoint(tmp_path, checkpoint(epoch))
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert names == ["000010", "000011"]


def test_a_folder_without_checkpoints_has_none(tmp_path):
    assert newest_checkpoint(tmp_path / "missing") is None
    assert newest_checkpoint(tmp_path) is None


def test_the_one_before_is_used_if_any_byte_of_the_newest_changes(tmp_path):
    write_checkpoint(tmp_path, checkpoint(1))
    write_checkpoint(tmp_path, checkpoint(2))
    (newest,) = tmp_path.glob("000002*")
    content = newest.read_bytes()
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 1
        newest.write_bytes(damaged)
        with pytest.warns(UserWarning, match=r"000002.* is damaged"):
            assert_equal(newest_checkpoint(tmp_path), checkpoint(1))


@pytest.mark.parametrize("length", [0, 1, 100])
def test_it_is_said_that_training_starts_over_if_no_checkpoint_is_whole(
    tmp_path, length
):
    write_checkpoint(tmp_path, checkpoint(1))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:length])
    with pytest.warns(UserWarning) as warned:
        assert newest_checkpoint(tmp_path) is None
    assert "starts over" in str(warned[-1].message)


def test_a_damaged_checkpoint_is_replaced_by_the_next_of_its_epoch(tmp_path):
    write_checkpoint(tmp_path, checkpoint(1))
    write_checkpoint(tmp_path, checkpoint(2))
    (newest,) = tmp_path.glob("000002*")
    newest.write_bytes(b"damaged")
    newest.rename(newest.with_name("000002-0.checkpoint"))
    write_checkpoint(tmp_path, checkpoint(2))
    assert len(list(tmp_path.iterdir())) == 2
    assert_equal(newest_checkpoint(tmp_path), checkpoint(2))


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, checkpoint(1))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(tmp_path, checkpoint(2))
    monkeypatch.undo()
    assert len(os.listdir(tmp_path)) == 1
    assert_equal(newest_checkpoint(tmp_path), checkpoint(1))
