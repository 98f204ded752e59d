"""Files of a training run that people read: its settings and its log."""

import csv
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

from keras_dnc.files import whole_file
from keras_dnc.training.checkpoints import newest_checkpoint

CHECKPOINTS = "checkpoints"
_LOG = "log.csv"


def read_log(folder: str | os.PathLike) -> list[dict[str, float]]:
    """Read the metrics of a run that `fit_or_resume` trains.

    Args:
        folder: Path of the folder passed to `fit_or_resume`.

    Returns:
        List of dicts, one per epoch, from the names of metrics to floats; empty before
        the first epoch has ended.
    """
    checkpoint = newest_checkpoint(pathlib.Path(folder) / CHECKPOINTS)
    return checkpoint.record["log"] if checkpoint else []


def write_log(folder: pathlib.Path, log: list[dict[str, float]]) -> None:
    """Write the metrics of a run as `log.csv`.

    Args:
        folder: `pathlib.Path` of the folder of the run.
        log: List of dicts, one per epoch, from the names of metrics to floats.
    """
    names = list(dict.fromkeys(name for row in log for name in row))
    path = folder / _LOG
    with whole_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(log)


def check_settings(
    path: str | os.PathLike[str], settings: dict[str, Any], free: Iterable[str] = ()
) -> None:
    """Write the settings of a run to a file, or check them against that file.

    Args:
        path: Path of a JSON file, written if it does not exist or is empty.
        settings: Dict of settings. Values that JSON cannot hold are kept as text.
        free: Names of settings that may change, such as the path of the data. Defaults
            to `()`.

    Raises:
        ValueError: The file holds other settings, or is not JSON.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "config.json"
        >>> check_settings(path, {"units": 64, "data": "a"}, free=["data"])
        >>> check_settings(path, {"units": 64, "data": "b"}, free=["data"])
    """
    path = pathlib.Path(path)
    text = json.dumps(settings, indent=1, default=str)
    if not path.exists() or not path.read_bytes():
        with whole_file(path) as partial:
            partial.write_text(text + "\n")
        return
    kept, ours = _read_settings(path), json.loads(text)
    names = [name for name in kept.keys() | ours.keys() if name not in free]
    others = sorted(name for name in names if kept.get(name) != ours.get(name))
    if others:
        was, now = ({name: a.get(name) for name in others} for a in (kept, ours))
        raise ValueError(
            f"Argument `settings` must be those of the run in {path.parent}, which has "
            f"{was}, or choose another folder for the output. Received: {now}"
        )


def _read_settings(path: pathlib.Path) -> dict[str, Any]:
    """Read a JSON file that holds one dict."""
    try:
        settings = json.loads(path.read_text())
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(
            f"Argument `path` must be a JSON file of settings: delete {path} if the "
            "run goes on with the settings given now. "
            f"Received: {path.read_bytes()[:100]!r}"
        )
    return settings
