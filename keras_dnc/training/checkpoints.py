"""Checkpoint files that are whole or are not used.

A checkpoint is one file: named arrays and a JSON record. It is written aside, flushed
to the disk and renamed, and its name holds the SHA-256 of its content. Killed at any
moment, a process leaves the previous checkpoint; a damaged file is recognized.
"""

import hashlib
import json
import pathlib
import warnings
from typing import Any, NamedTuple

import numpy as np

from keras_dnc.files import PARTIAL
from keras_dnc.files import flush
from keras_dnc.files import removed_on_error
from keras_dnc.files import replace

_RECORD = "record"  # name of the array that holds the JSON record
_SUFFIX = ".checkpoint"
_KEPT = 2  # the newest and, should it be damaged, the one before it


class Checkpoint(NamedTuple):
    """Content of a checkpoint.

    Attributes:
        epoch: Number of epochs that had ended when it was written.
        record: Dict that JSON can hold.
        arrays: Dict from names to NumPy arrays.
    """

    epoch: int
    record: dict[str, Any]
    arrays: dict[str, np.ndarray]


def write_checkpoint(folder: pathlib.Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, then delete all but it and the one before it.

    Args:
        folder: `pathlib.Path` of a folder that holds checkpoints of one run only;
            created if it does not exist.
        checkpoint: `Checkpoint`. It replaces one of the same epoch.

    Raises:
        OSError: The file cannot be written, as on a full disk. Earlier checkpoints are
            as before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dtypes = {name: str(array.dtype) for name, array in checkpoint.arrays.items()}
    record = json.dumps({"record": checkpoint.record, "dtypes": dtypes}).encode()
    arrays: dict[str, Any] = {
        name: _storable(array) for name, array in checkpoint.arrays.items()
    }
    arrays[_RECORD] = np.frombuffer(record, "uint8")
    partial = folder / f"{PARTIAL}{checkpoint.epoch}"
    with removed_on_error(partial):
        with partial.open("wb") as file:
            np.savez(file, **arrays)
            flush(file)
        name = f"{checkpoint.epoch:06d}-{_sha256(partial)}{_SUFFIX}"
        replace(partial, folder / name)
    _delete_others(folder, checkpoint.epoch, name)


def newest_checkpoint(folder: pathlib.Path) -> Checkpoint | None:
    """Read the newest checkpoint that is whole, with a warning for each that is not.

    Args:
        folder: `pathlib.Path` of the folder of checkpoints, which may not exist.

    Returns:
        `Checkpoint`, or `None` if no file is whole.
    """
    files = sorted(folder.glob(f"*{_SUFFIX}"), key=_epoch_of, reverse=True)
    for path in files:
        if _sha256(path) == path.stem.split("-")[-1]:
            return _read(path)
        warnings.warn(
            f"The checkpoint {path} is damaged and is not used.", stacklevel=2
        )
    if files:
        warnings.warn(
            f"No checkpoint in {folder} is whole: training starts over.", stacklevel=2
        )
    return None


def _read(path: pathlib.Path) -> Checkpoint:
    """Read a checkpoint whose checksum has been verified."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    content = json.loads(arrays.pop(_RECORD).tobytes())
    for name, dtype in content["dtypes"].items():
        arrays[name] = arrays[name].view(_dtype(dtype))
    return Checkpoint(_epoch_of(path), content["record"], arrays)


def _storable(array: np.ndarray) -> np.ndarray:
    """Return an array of a dtype that NumPy's file format knows: not bfloat16."""
    if array.dtype.kind != "V":
        return array
    return array.view(f"uint{8 * array.dtype.itemsize}")


def _dtype(name: str) -> np.dtype:
    """Return the dtype of a name, such as `"bfloat16"`."""
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name, name))


def _epoch_of(path: pathlib.Path) -> int:
    """Return the number of epochs in the name of a checkpoint; -1 for other files."""
    number = path.name.split("-")[0]
    return int(number) if number.isdecimal() else -1


def _delete_others(folder: pathlib.Path, epoch: int, name: str) -> None:
    """Delete what the checkpoint `name` supersedes, and what was partly written."""
    earlier = [
        path for path in folder.glob(f"*{_SUFFIX}") if 0 <= _epoch_of(path) < epoch
    ]
    kept = sorted(earlier, key=_epoch_of)[1 - _KEPT :]
    for path in folder.iterdir():
        if path.name != name and path not in kept:
            path.unlink(missing_ok=True)


def _sha256(path: pathlib.Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
