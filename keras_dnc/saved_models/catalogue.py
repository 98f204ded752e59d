"""Names, folders and files of the pretrained models."""

import json
import os
import pathlib
from typing import Any, NamedTuple

import keras

from keras_dnc.export.versions import versions_in

_INSTALLED = pathlib.Path(__file__).parent / "installed"  # `build_py` fills it
_CLONE = pathlib.Path(__file__).parents[2] / "saved_models"


class SavedModel(NamedTuple):
    """A pretrained model with its settings and metrics.

    Attributes:
        model: The pretrained `keras.Model`.
        config: Settings of the model and of its training. A model that reads text also
            has `words`, from which `keras_dnc.tasks.babi.Vocabulary(words)` is built.
        metrics: Metrics measured after training.
        folder: Folder of the model.
    """

    model: keras.Model
    config: dict[str, Any]
    metrics: dict[str, Any]
    folder: pathlib.Path


def available(folder: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the names of the pretrained models.

    Args:
        folder: Path of a folder of models, such as `saved_models` of a clone, or `None`
            for the models of the package. Defaults to `None`.

    Returns:
        Sorted list of names.

    Raises:
        FileNotFoundError: If the folder does not exist or has no model.

    Example:
        >>> available()[0]
        'babi-dnc'
    """
    path = _path(folder)
    names = sorted(file.parent.name for file in path.glob("*/model.keras"))
    if not names:
        raise FileNotFoundError(
            "Argument `folder` must be a folder of models `<name>/model.keras`, such "
            "as `saved_models` of the repository, or None for the models of the "
            f"package. Received: folder={folder!r}, and {path} has no model"
        )
    return names


def load(name: str, folder: str | os.PathLike[str] | None = None) -> SavedModel:
    """Load a pretrained model.

    Args:
        name: Name of the model, one of `available(folder)`.
        folder: Path of a folder of models, such as `saved_models` of a clone, or `None`
            for the models of the package. Defaults to `None`.

    Returns:
        `SavedModel` with the fields `model`, `config`, `metrics` and `folder`.

    Raises:
        FileNotFoundError: If the folder does not exist or has no model, or the model
            lacks `config.json` or `metrics.json`.
        ValueError: If there is no model of this name.

    Example:
        ```python
        from keras_dnc import saved_models

        model, config, metrics, _ = saved_models.load("repeat-copy-dnc")
        ```
    """
    path = folder_of(name, folder)
    config, metrics = (
        json.loads((path / file).read_text(encoding="utf-8"))
        for file in ("config.json", "metrics.json")
    )
    model = keras.models.load_model(path / "model.keras")
    return SavedModel(model, config, metrics, path)


def folder_of(name: str, folder: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """Return the folder of a pretrained model.

    Args:
        name: Name of the model, one of `available(folder)`.
        folder: Path of a folder of models, such as `saved_models` of a clone, or `None`
            for the models of the package. Defaults to `None`.

    Returns:
        `pathlib.Path` of the folder with `model.keras`, `config.json`, `metrics.json`
        and `README.md`. In a clone it also has `serving/<version>`, the same model for
        TensorFlow Serving, which an installed package does not carry.

    Raises:
        FileNotFoundError: If the folder does not exist or has no model.
        ValueError: If there is no model of this name.

    Example:
        >>> folder_of("babi-dnc").name
        'babi-dnc'
    """
    names = available(folder)
    if name not in names:
        raise ValueError(
            f"Argument `name` must be one of {names}. Received: name={name!r}"
        )
    return _path(folder) / name


def serving_folder_of(
    name: str, folder: str | os.PathLike[str] | None = None
) -> pathlib.Path:
    """Return the folder of a pretrained model's SavedModel for TensorFlow Serving.

    Args:
        name: Name of the model, one of `available(folder)`.
        folder: Path of a folder of models, such as `saved_models` of a clone, or `None`
            for the models of the package. Defaults to `None`.

    Returns:
        `pathlib.Path` of the highest version, `<folder>/<name>/serving/<version>`.

    Raises:
        FileNotFoundError: If the folder does not exist or has no model, or the model
            has no SavedModel, as in an installed package.
        ValueError: If there is no model of this name.

    Example:
        ```python
        client = StreamingClient(saved_models.serving_folder_of("babi-dnc"))
        ```
    """
    path = folder_of(name, folder)
    versions = versions_in(path / "serving")
    if not versions:
        raise FileNotFoundError(
            "Argument `name` must be a model with a folder `serving/<version>`, which "
            "a clone has and an installed package has not: pass `folder`, the folder "
            "`saved_models` of a clone, or write a SavedModel with "
            "`keras_dnc.export.export_for_serving`. "
            f"Received: name={name!r}, and {path} has none"
        )
    return versions[max(versions)]


def _path(folder: str | os.PathLike[str] | None) -> pathlib.Path:
    """Return the path of a folder; for `None`, of the models of the package."""
    if folder is not None:
        return pathlib.Path(folder)
    return _INSTALLED if _INSTALLED.exists() else _CLONE
