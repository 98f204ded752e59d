"""A model as TensorFlow Serving loads it, with all that its user has to know inside."""

import os
import pathlib
import tempfile
import warnings
from typing import Any

import keras

from keras_dnc.arguments import positive_integer
from keras_dnc.export import endpoints
from keras_dnc.export import guide
from keras_dnc.export import warmup as warmup_requests
from keras_dnc.export.chain import NotServableError

_IF_IT_CAN = {  # signatures that not every model has
    "serving_padded": endpoints.padded_endpoint,
    "step": endpoints.step_endpoint,
    "initial_state": endpoints.initial_state_endpoint,
}


def export_for_serving(
    model: keras.Model,
    base_path: str | os.PathLike,
    version: int | None = None,
    warmup: Any = None,
    name: str | None = None,
) -> pathlib.Path:
    """Write `<base_path>/<version>/`, a SavedModel that TensorFlow Serving loads.

    It needs neither Keras nor this package to run, and holds four signatures:

    - `serving_default`: `inputs`, whole sequences `(batch, time, ...)`, to `outputs`.
      Batch and time are free as far as the model leaves them free.
    - `serving_padded`: the same with `lengths`, `(batch,)`, int32: what stands after a
      sequence's own length changes nothing, and outputs there mean nothing.
      A length above the time counts as the time.
    - `initial_state`: `batch_size`, an int32 scalar, to every state by its name.
    - `step`: `inputs` of one step, `(batch, ...)`, and every state by its name, to
      `outputs` and the new states by the same names.

    A cell of this package names its states as its NamedTuples do, in real shapes:
    `memory` is `(batch, memory_size, word_size)`; the controller's are `controller_0`,
    `controller_1`, ... Those of another cell are `state_0`, `state_1`, ... Where a
    model has several recurrent layers, `<layer name>_` comes before each name.

    Only a chain of recurrent layers that go forward, and of layers that treat each step
    alike can be run step by step; and only where every layer passes a mask on can
    sequences be padded. Of another model, those signatures are left out, with a warning
    that names the layer.

    Beside the SavedModel stand `signature.json` (names, dtypes and shapes) and a
    `README.md` with the REST and the gRPC request for this very model.

    Args:
        model: A built Keras model, none of whose layers is stateful.
        base_path: Folder of the model's versions.
        version: Positive integer; `None` for one above the highest there is.
        warmup: Inputs `(batch, time, ...)` of requests, one for each signature, that
            the server runs at loading, so that the first user does not wait; `None` for
            none. Needs `pip install keras_dnc[serving]`.
        name: What the server will call the model; `None` for the name of `base_path`.

    Returns:
        `pathlib.Path` of the version's folder.

    Raises:
        ValueError: A model that was never built, that takes several inputs, or that
            has a stateful layer; a version that is no positive integer or that exists;
            a warm-up that does not fit the model's input; a backend other than
            TensorFlow.
        ImportError: `warmup` without TensorFlow Serving's protocol.

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
        warmup = warmup_requests.checked(warmup, *endpoints.input_spec(model))
    archive, reasons = _archive(model)
    for signature, reason in reasons.items():
        lacking = f"Exported without the `{signature}` signature: {reason}"
        warnings.warn(lacking, stacklevel=2)
    base_path.mkdir(parents=True, exist_ok=True)
    # Beside the versions first: a server that looks for them finds a whole one.
    with tempfile.TemporaryDirectory(dir=base_path, prefix=".export-") as beside:
        folder = pathlib.Path(beside, "model")
        archive.write_out(str(folder), verbose=False)
        signatures = guide.write(folder, name, version)
        if warmup is not None:
            warmup_requests.write(folder, name, signatures, warmup)
        return folder.rename(base_path / str(version))


def _archive(model):
    """Give an archive of all signatures that a model has, and why not the others."""
    archive, reasons = keras.export.ExportArchive(), {}
    archive.track(model)
    archive.add_endpoint("serving_default", *endpoints.sequence_endpoint(model))
    for name, endpoint in _IF_IT_CAN.items():
        try:
            archive.add_endpoint(name, *endpoint(model))
        except NotServableError as reason:
            reasons[name] = reason
    return archive, reasons


def _check_model(model):
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
    stateful = [x.name for x in _all_layers(model) if getattr(x, "stateful", False)]
    if stateful:
        raise ValueError(
            "Argument `model` must have no stateful layer: a server keeps no state "
            "between requests, and the `step` signature takes and gives it instead. "
            f"Received: stateful layers {stateful}"
        )


def _all_layers(model):
    """Yield the layers of a model, and those of the models inside it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)


def _checked_version(base_path, version):
    existing = [int(p.name) for p in base_path.glob("*") if p.name.isdigit()]
    if version is None:
        version = max(existing, default=0) + 1
    version = positive_integer("version", version)
    if version in existing:
        raise ValueError(
            "Argument `version` must be one that does not exist yet. "
            f"Received: version={version}, existing: {sorted(existing)}"
        )
    return version
