"""The trained models of the repository: list them, load them.

They are no part of a wheel. A clone has them in its folder `saved_models`; without a
clone, download that folder and pass its path. `python -m keras_dnc` lists them.
"""

import json
import os
import pathlib
from typing import Any
from typing import NamedTuple

import keras

_OF_THE_CLONE = pathlib.Path(__file__).parent.parent / "saved_models"


class SavedModel(NamedTuple):
    """A trained model, and what its folder says of it.

    Attributes:
        model: `keras.Model`.
        config: Dict, the settings it was made with; for bAbI, `words` too, of which
            `keras_dnc.tasks.babi.Vocabulary(words)` is made.
        metrics: Dict, what was measured.
        folder: `pathlib.Path`; `serving/<version>` in it is the same model for
            TensorFlow Serving.
    """

    model: Any
    config: dict
    metrics: dict
    folder: pathlib.Path


def available(folder: str | os.PathLike | None = None) -> list[str]:
    """List the names of the trained models.

    Args:
        folder: Path of the folder `saved_models`; `None` for the clone's own.

    Returns:
        List of names, sorted.

    Raises:
        FileNotFoundError: There is no such folder, or no model in it.
    """
    names = sorted(path.parent.name for path in _box(folder).glob("*/model.keras"))
    if not names:
        raise FileNotFoundError(_NO_MODELS.format(folder=_box(folder)))
    return names


def load(name: str, folder: str | os.PathLike | None = None) -> SavedModel:
    """Load a trained model.

    Args:
        name: One of `available(folder)`.
        folder: As in `available`.

    Returns:
        `SavedModel`.

    Raises:
        FileNotFoundError: As in `available`.
        ValueError: There is no model of that name.

    Example:
        ```python
        from keras_dnc import saved_models

        model, config, metrics, _ = saved_models.load("repeat-copy-dnc")
        ```
    """
    path = folder_of(name, folder)
    config, metrics = (
        json.loads((path / file).read_text())
        for file in ("config.json", "metrics.json")
    )
    model = keras.models.load_model(path / "model.keras")
    return SavedModel(model, config, metrics, path)


def folder_of(name: str, folder: str | os.PathLike | None = None) -> pathlib.Path:
    """Give the `pathlib.Path` of a trained model's folder; arguments as in `load`."""
    if name not in available(folder):
        raise ValueError(
            f"Argument `name` must be one of {available(folder)}. "
            f"Received: name={name!r}"
        )
    return _box(folder) / name


_NO_MODELS = (
    "Argument `folder` must be the folder `saved_models` of the repository, which a "
    "wheel does not carry: clone it, or download that folder. Received: {folder}"
)


def _box(folder):
    return _OF_THE_CLONE if folder is None else pathlib.Path(folder)
