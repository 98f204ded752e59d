"""Export of a model to TensorFlow Serving, with documentation in the same folder."""

import os
import pathlib
import tempfile
import warnings
from typing import Any

import keras

from keras_dnc import backend
from keras_dnc.arguments import positive_integer
from keras_dnc.backend.keras_internals import all_layers
from keras_dnc.export import endpoints
from keras_dnc.export import guide
from keras_dnc.export import warmup as warmup_requests
from keras_dnc.export.chain import NotServableError
from keras_dnc.export.versions import versions_in

_OPTIONAL = {  # signatures that not every model has
    "serving_padded": endpoints.padded_endpoint,
    "step": endpoints.step_endpoint,
    "initial_state": endpoints.initial_state_endpoint,
}


def export_for_serving(
    model: keras.Model,
    base_path: str | os.PathLike[str],
    version: int | None = None,
    warmup: Any = None,
    name: str | None = None,
) -> pathlib.Path:
    """Write `<base_path>/<version>/`, a SavedModel that TensorFlow Serving loads.

    The SavedModel runs without Keras and without this package. It is for inference: a
    gradient taken through it may differ from the model's. It has four signatures:

    - `serving_default`: maps `inputs`, whole sequences `(batch, time, ...)`, to
      `outputs`. Batch and time are dynamic as far as they are in the model. Several
      inputs have the names of their `keras.Input`s, or the keys of a dict.
    - `serving_padded`: maps `inputs` and `lengths`, `(batch,)`, int32, to `outputs`.
      Steps beyond the length of a sequence do not affect the other outputs, and their
      own outputs are meaningless. A length above the number of steps counts as the
      number of steps.
    - `initial_state`: maps `batch_size`, an int32 scalar, to every state by name.
    - `step`: maps `inputs` of one step, `(batch, ...)`, and every state by name to
      `outputs` and the new states by the same names.

    The states of a cell of this package have the names and real shapes of the fields of
    its state: `memory` is `(batch, memory_size, word_size)`. Those of the controller
    are `controller_0`, `controller_1`, ..., and those of any other cell are `state_0`,
    `state_1`, ... If a model has several recurrent layers, each name starts with
    `<layer name>_`.

    A model can run step by step if it is a chain of layers that treat each step alike
    and of recurrent layers that go forward. Sequences can be padded if there is one
    input and every layer passes masks on. For other models the export omits the
    signatures in question, with a warning that names the layer.

    The folder also contains `signature.json` (names, dtypes and shapes) and a
    `README.md` with a REST and a gRPC request for this model.

    Args:
        model: A built Keras model without stateful layers.
        base_path: Folder of the versions of the model.
        version: Positive integer, or `None` for one above the highest version in the
            folder. Defaults to `None`.
        warmup: Inputs `(batch, time, ...)` of warm-up requests, one for each signature,
            which the server runs while it loads the model, so that the first request is
            not delayed; a dict of such arrays by name if the model takes several
            inputs; or `None` for no warm-up. Needs `pip install keras_dnc[serving]`.
            Defaults to `None`.
        name: Name of the model on the server, or `None` for the name of the folder
            `base_path`. Defaults to `None`.

    Returns:
        `pathlib.Path` of the folder of the version.

    Raises:
        ValueError: If the model is not built or has a stateful layer, `version` is not
            a positive integer or exists already, `warmup` does not fit the inputs of
            the model, or the backend is not TensorFlow.
        ImportError: If `warmup` is given and TensorFlow Serving's protocol is not
            installed.

    Example:
        ```python
        path = export_for_serving(model, "serving/repeat_copy")
        loaded = tf.saved_model.load(path)
        answer = loaded.signatures["serving_default"](inputs=sequences)["outputs"]
        ```
    """
    _check_model(model)
    base_path = pathlib.Path(base_path).absolute()
    name, version = name or base_path.name, _checked_version(base_path, version)
    if warmup is not None:
        warmup = warmup_requests.checked(warmup, endpoints.input_specs(model))
    with backend.forward_only():
        archive, reasons = _archive(model)
    for signature, reason in reasons.items():
        lacking = f"Exported without the `{signature}` signature: {reason}"
        warnings.warn(lacking, stacklevel=2)
    base_path.mkdir(parents=True, exist_ok=True)
    # Under another name first: a server that polls the folder sees no partial version.
    with tempfile.TemporaryDirectory(dir=base_path, prefix=".export-") as temporary:
        folder = pathlib.Path(temporary, "model")
        with backend.forward_only():  # Keras traces the functions once more
            archive.write_out(str(folder), verbose=False)
        signatures = guide.write(folder, name, version)
        if warmup is not None:
            warmup_requests.write(folder, name, signatures, warmup)
        return folder.rename(base_path / str(version))


def _archive(
    model: keras.Model,
) -> tuple[keras.export.ExportArchive, dict[str, NotServableError]]:
    """Build an archive of a model's signatures; return it and why others are absent."""
    archive = keras.export.ExportArchive()
    reasons: dict[str, NotServableError] = {}
    archive.track(_tables(model))
    archive.add_endpoint("serving_default", *endpoints.sequence_endpoint(model))
    for name, endpoint in _OPTIONAL.items():
        try:
            archive.add_endpoint(name, *endpoint(model))
        except NotServableError as reason:
            reasons[name] = reason
    return archive, reasons


def _tables(model: keras.Model) -> Any:
    """Return an object whose lookup tables are those of a model.

    A model that Keras tracks itself has its variables saved twice: the signatures save
    those that they use.
    """
    import tensorflow as tf

    holder = tf.Module()
    holder.model = model
    return holder


def _check_model(model: Any) -> None:
    """Refuse a model that is not built or stateful, and backends but TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`export_for_serving` needs the TensorFlow backend; a `.keras` file "
            f"carries the model over. Received: backend {keras.backend.backend()!r}"
        )
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(
            "Argument `model` must be a Keras model that has been built, by an Input "
            f"or by a call. Received: model={model!r}"
        )
    stateful = [x.name for x in all_layers(model) if getattr(x, "stateful", False)]
    if stateful:
        raise ValueError(
            "Argument `model` must have no stateful layer: a server keeps no state "
            "between requests, and the `step` signature takes and gives it instead. "
            f"Received: stateful layers {stateful}"
        )


def _checked_version(base_path: pathlib.Path, version: int | None) -> int:
    """Return a version that does not exist yet, by default the next one."""
    existing = versions_in(base_path)
    if version is None:
        version = max(existing, default=0) + 1
    version = positive_integer("version", version)
    if version in existing:
        raise ValueError(
            "Argument `version` must be one that does not exist yet. "
            f"Received: version={version}, existing: {sorted(existing)}"
        )
    return version
