"""List and load the pretrained models of the repository.

The wheel does not contain them. A clone has them in its folder `saved_models`; without
a clone, download that folder and pass its path. `python -m keras_dnc` lists the models.
"""

import json
import os
import pathlib
from typing import Any, NamedTuple

import keras

_FOLDER_OF_CLONE = pathlib.Path(__file__).parent.parent / "saved_models"


class SavedModel(NamedTuple):
    """A pretrained model with its settings and metrics.

    Attributes:
        model: The pretrained `keras.Model`.
        config: Settings of the model and of its training. A bAbI model also has
            `words`, from which `keras_dnc.tasks.babi.Vocabulary(words)` is built.
        metrics: Metrics measured after training.
        folder: Folder of the model; its subfolder `serving/<version>` is the same model
            for TensorFlow Serving.
    """

    model: keras.Model
    config: dict[str, Any]
    metrics: dict[str, Any]
    folder: pathlib.Path


def available(folder: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the names of the pretrained models.

    Args:
        folder: Path of the folder `saved_models`, or `None` for the folder of the
            clone. Defaults to `None`.

    Returns:
        Sorted list of names.

    Raises:
        FileNotFoundError: If the folder does not exist or has no model.

    Example:
        ```python
        saved_models.available()  # ["babi-dnc", "copy-ntm", ...]
        ```
    """
    path = _path(folder)
    names = sorted(file.parent.name for file in path.glob("*/model.keras"))
    if not names:
        raise FileNotFoundError(_NO_MODELS.format(folder=path))
    return names


def load(name: str, folder: str | os.PathLike[str] | None = None) -> SavedModel:
    """Load a pretrained model.

    Args:
        name: Name of the model, one of `available(folder)`.
        folder: Path of the folder `saved_models`, or `None` for the folder of the
            clone. Defaults to `None`.

    Returns:
        `SavedModel` with the fields `model`, `config`, `metrics` and `folder`.

    Raises:
        FileNotFoundError: If the folder does not exist or has no model.
        ValueError: If there is no model of this name.

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


def folder_of(name: str, folder: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """Return the folder of a pretrained model.

    Args:
        name: Name of the model, one of `available(folder)`.
        folder: Path of the folder `saved_models`, or `None` for the folder of the
            clone. Defaults to `None`.

    Returns:
        `pathlib.Path` of the folder with `model.keras`, `config.json`, `metrics.json`,
        `README.md` and `serving`.

    Raises:
        FileNotFoundError: If the folder does not exist or has no model.
        ValueError: If there is no model of this name.
    """
    if name not in available(folder):
        raise ValueError(
            f"Argument `name` must be one of {available(folder)}. "
            f"Received: name={name!r}"
        )
    return _path(folder) / name


_NO_MODELS = (
    "Argument `folder` must be the folder `saved_models` of the repository, which a "
    "wheel does not carry: clone it, or download that folder. Received: {folder}"
)


def _path(folder: str | os.PathLike[str] | None) -> pathlib.Path:
    """Return the path of a folder, or of the folder of the clone for `None`."""
    return _FOLDER_OF_CLONE if folder is None else pathlib.Path(folder)
