"""Files written with a SavedModel: its signatures, and a README with requests."""

import json
import pathlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from keras_dnc.export.endpoints import BATCH_SIZE
from keras_dnc.export.endpoints import INPUTS
from keras_dnc.export.endpoints import LENGTHS

Spec: TypeAlias = dict[str, Any]  # {"dtype": name, "shape": sizes, `None` if free}
Specs: TypeAlias = dict[str, Spec]  # by the names of tensors
Signatures: TypeAlias = dict[str, dict[str, Specs]]  # by name, then "inputs", "outputs"

_FREE_SIZE = 2  # size of free axes in the requests of the README
_SAID_OF = {
    "serving_default": "whole sequences",
    "serving_padded": "the same, each of its own length: what comes after changes "
    "nothing, and outputs there mean nothing",
    "initial_state": "what a sequence starts from",
    "step": "one step, every state by its name, to the outputs and the new states",
}


def write(folder: pathlib.Path, model: str, version: int) -> Signatures:
    """Write `signature.json` and `README.md` into an export.

    Args:
        folder: Path of the SavedModel.
        model: Name of the served model.
        version: Version of the served model.

    Returns:
        Dict from the name of each signature to `{"inputs": ..., "outputs": ...}`, each
        a dict from tensor names to `{"dtype": ..., "shape": ...}`.
    """
    found = signatures(folder)
    said = {"model": model, "version": version}
    text = json.dumps({**said, "signatures": found}, indent=1)
    (folder / "signature.json").write_text(text + "\n")
    (folder / "README.md").write_text(_readme(model, found))
    return found


def signatures(folder: pathlib.Path) -> Signatures:
    """Read the signatures of a SavedModel without loading it.

    Args:
        folder: Path of the SavedModel.

    Returns:
        Dict from the name of each signature to `{"inputs": ..., "outputs": ...}`, each
        a dict from tensor names to `{"dtype": ..., "shape": ...}`. The size of a free
        axis is `None`.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    (graph,) = saved.meta_graphs
    return read_signatures(graph.signature_def)


def read_signatures(signature_defs: Mapping[str, Any]) -> Signatures:
    """Convert `SignatureDef` messages of TensorFlow to plain dicts.

    Args:
        signature_defs: Mapping from the names of signatures to `SignatureDef` messages.

    Returns:
        Dict from the name of each signature that an export may have to
        `{"inputs": ..., "outputs": ...}`, each a dict from tensor names to
        `{"dtype": ..., "shape": ...}`. The size of a free axis is `None`.
    """
    return {
        name: {
            "inputs": _specs(signature_defs[name].inputs),
            "outputs": _specs(signature_defs[name].outputs),
        }
        for name in _SAID_OF
        if name in signature_defs
    }


def _specs(tensors: Mapping[str, Any]) -> Specs:
    """Convert `TensorInfo` messages, by name, to specs in the order of their names."""
    import tensorflow as tf

    specs: Specs = {}
    for name, info in sorted(tensors.items()):
        sizes = [None if d.size < 0 else d.size for d in info.tensor_shape.dim]
        specs[name] = {"dtype": tf.as_dtype(info.dtype).name, "shape": sizes}
    return specs


def _readme(model: str, found: Signatures) -> str:
    """Build the text of the README."""
    parts = [_HEAD.format(model=model), _table(found)]
    name = "serving_padded" if "serving_padded" in found else "serving_default"
    request = _literal(found[name]["inputs"])
    output = next(iter(found[name]["outputs"]))
    several = "" if len(found[name]["outputs"]) == 1 else f'["{output}"]'
    names = {"model": model, "signature": name, "output": output, "several": several}
    parts.append(_REQUESTS.format(**names, request=request))
    if "step" in found:
        step = _array(INPUTS, found["step"]["inputs"][INPUTS])
        parts.append(_STREAM.format(model=model, step=step))
    return "\n".join(parts)


def _table(found: Signatures) -> str:
    """Build the table of the signatures."""
    lines = ["| signature | takes | gives | what it is |", "|---|---|---|---|"]
    for name, signature in found.items():
        takes, gives = (_tensors(signature[side]) for side in ("inputs", "outputs"))
        lines.append(f"| `{name}` | {takes} | {gives} | {_SAID_OF[name]} |")
    return "\n".join([*lines, ""])


def _tensors(specs: Specs) -> str:
    """List names, dtypes and shapes of tensors for a cell of the table."""
    return ", ".join(
        f"`{name}` {spec['dtype']} {_shape(spec['shape'])}"
        for name, spec in specs.items()
    )


def _shape(sizes: Sequence[int | None]) -> str:
    """Write a shape with names for its free axes."""
    if not sizes:
        return "scalar"
    free = ["batch", *["time"] * (len(sizes) - 1)]
    axes = [str(size or name) for size, name in zip(sizes, free, strict=True)]
    return f"({', '.join(axes)})"


def _literal(specs: Specs) -> str:
    """Write Python code for a dict of the arrays of a request."""
    lines = [f'    "{name}": {_array(name, spec)},' for name, spec in specs.items()]
    return "\n".join(["{", *lines, "}"])


def _array(name: str, spec: Spec) -> str:
    """Write Python code for an array of a request."""
    if name == BATCH_SIZE:
        return f"np.int32({_FREE_SIZE})"
    sizes = tuple(_FREE_SIZE if size is None else size for size in spec["shape"])
    if spec["dtype"] == "string":
        return f'np.full({sizes}, "word")'
    if name == LENGTHS:
        return f'np.array({[1, _FREE_SIZE]}, "int32")'
    return f'np.zeros({sizes}, "{spec["dtype"]}")'


def _lines(text: str) -> str:
    """Remove the indentation and the first empty lines of a template."""
    return textwrap.dedent(text).lstrip("\n")


_HEAD = _lines(
    """
    # {model}

    A SavedModel for TensorFlow Serving, made by `keras_dnc.export.export_for_serving`.
    It needs neither Keras nor that package. `signature.json` says the same as the
    table, for programs.
    """
)
_REQUESTS = _lines(
    """

    ## A request, by REST

    ```python
    import numpy as np
    import requests

    arrays = {request}
    body = {{
        "signature_name": "{signature}",
        "inputs": {{name: array.tolist() for name, array in arrays.items()}},
    }}
    url = "http://localhost:8501/v1/models/{model}:predict"
    answer = requests.post(url, json=body, timeout=60)
    answer.raise_for_status()
    outputs = np.array(answer.json()["outputs"]{several})
    ```

    Of a signature with several outputs, `"outputs"` is a dict from their names.

    ## The same by gRPC

    ```python
    import grpc
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    arrays = {request}
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "{model}"
    request.model_spec.signature_name = "{signature}"
    for name, array in arrays.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    any_size = ("grpc.max_receive_message_length", -1)
    channel = grpc.insecure_channel("localhost:8500", [any_size])
    service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = service.Predict(request, timeout=60.0)
    outputs = tf.make_ndarray(answer.outputs["{output}"])
    ```
    """
)
_STREAM = _lines(
    """
    ## Step by step

    The server keeps nothing between requests: each `step` takes every state, and gives
    the new ones. Begin with what `initial_state` gives for your batch size.
    `keras_dnc.export.StreamingClient` does this, and checks what it sends:

    ```python
    import numpy as np
    from keras_dnc.export import StreamingClient

    url = "http://localhost:8501/v1/models/{model}"
    client = StreamingClient(url, batch_size=2)
    for inputs in [{step}] * 3:
        outputs = client.step(inputs)
    ```
    """
)
