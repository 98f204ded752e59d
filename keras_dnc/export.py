"""Models for TensorFlow Serving: whole sequences, and one step at a time.

A server keeps no state between requests. A recurrent model that is asked step by step
therefore takes its state with each request and gives the new one back: the `step`
signature. A fresh sequence starts from zeros.
"""

import os
import pathlib
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops
from keras import tree

from keras_dnc.core.arguments import check_shape
from keras_dnc.core.arguments import positive_integer
from keras_dnc.core.state import MemoryCell

_INPUTS, _OUTPUTS = "inputs", "outputs"
_PER_STEP_LAYERS = (
    keras.layers.Activation,
    keras.layers.BatchNormalization,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Embedding,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.LayerNormalization,
    keras.layers.LeakyReLU,
    keras.layers.Masking,
    keras.layers.ReLU,
    keras.layers.SpatialDropout1D,
    keras.layers.TimeDistributed,
)


def export_for_serving(
    model: keras.Model,
    base_path: str | os.PathLike,
    version: int | None = None,
    warmup: Any = None,
) -> pathlib.Path:
    """Write `<base_path>/<version>/`, a SavedModel that TensorFlow Serving loads.

    It holds two signatures, and needs neither Keras nor this package to run:

    - `serving_default`: `inputs`, whole sequences `(batch, time, ...)`, to `outputs`.
      Batch and time are free as far as the model leaves them free.
    - `step`: `inputs` of one step, `(batch, ...)`, and every state by its name, to
      `outputs` and the new states by the same names. A cell of this package names its
      states as its NamedTuples do, in real shapes: `memory` is `(batch, memory_size,
      word_size)`; the controller's are `controller_0`, `controller_1`, ... Those of
      another cell are `state_0`, `state_1`, ... Where a model has several recurrent
      layers, `<layer name>_` comes before each name. All zeros are a fresh state.

    Only a chain of recurrent layers that go forward, from zeros, and of layers that
    treat each step alike can be run step by step. Of another model, `step` is left out,
    with a warning that names the layer.

    Args:
        model: A built Keras model, none of whose layers is stateful.
        base_path: Folder of the model's versions.
        version: Positive integer; `None` for one above the highest there is.
        warmup: Inputs `(batch, time, ...)` of a request that the server runs at
            loading, so that the first user does not wait; `None` for none. Needs
            `pip install keras_dnc[serving]`.

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
    folder = _version_folder(pathlib.Path(base_path), version)
    request = None if warmup is None else _warmup_request(model, base_path, warmup)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", *_sequence_endpoint(model))
    try:
        archive.add_endpoint("step", *_step_endpoint(model))
    except _NotStepwiseError as reason:
        warnings.warn(f"Exported without the `step` signature: {reason}", stacklevel=2)
    archive.write_out(str(folder), verbose=False)
    if request is not None:
        _write_warmup(folder, request)
    return folder


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


def _version_folder(base_path, version):
    existing = [int(p.name) for p in base_path.glob("*") if p.name.isdigit()]
    if version is None:
        version = max(existing, default=0) + 1
    version = positive_integer("version", version)
    if version in existing:
        raise ValueError(
            "Argument `version` must be one that does not exist yet. "
            f"Received: version={version}, existing: {sorted(existing)}"
        )
    return base_path / str(version)


def _input_shape_and_dtype(model):
    """Shape with a free batch, and dtype, of the model's one input."""
    # Keras's own way to find a subclassed model's inputs is not public.
    from keras.src.export.export_utils import get_input_signature

    specs = tree.flatten(get_input_signature(model))
    if len(specs) != 1:
        raise ValueError(
            "Argument `model` must take one input. "
            f"Received: a model of {len(specs)} inputs"
        )
    return (None, *specs[0].shape[1:]), specs[0].dtype


def _sequence_endpoint(model):
    """Function and signature of `serving_default`."""
    import tensorflow as tf

    def serve(inputs):
        outputs = model(inputs, training=False)
        if isinstance(outputs, dict):
            return outputs
        flat = tree.flatten(outputs)
        names = [_OUTPUTS] + [f"{_OUTPUTS}_{n}" for n in range(1, len(flat))]
        return dict(zip(names, flat, strict=True))

    return serve, [tf.TensorSpec(*_input_shape_and_dtype(model), name=_INPUTS)]


class _NotStepwiseError(Exception):
    """A model cannot be run step by step; the message says which layer is why."""


def _step_endpoint(model):
    """Function and signature of `step`."""
    import tensorflow as tf

    chain = _chain(model)
    steppers = _steppers(chain)
    keeps_time = all(stepper.rnn.return_sequences for stepper in steppers.values())
    (batch, _, *features), dtype = _input_shape_and_dtype(model)
    signature = {_INPUTS: tf.TensorSpec((batch, *features), dtype, _INPUTS)}
    for stepper in steppers.values():
        for name, shape in stepper.shapes.items():
            signature[name] = tf.TensorSpec((None, *shape), stepper.dtype, name)

    def step(request):
        hidden, mask, response = ops.expand_dims(request[_INPUTS], 1), None, {}
        for layer in chain:
            if layer.name in steppers:
                hidden, states = steppers[layer.name](hidden, mask, request)
                response |= states
            else:
                mask = layer.compute_mask(hidden, mask)
                hidden = layer(hidden)
        return response | {_OUTPUTS: hidden[:, 0] if keeps_time else hidden}

    return step, [signature]


def _chain(model):
    """List the model's layers, if each takes what the one before it gives."""
    if not getattr(model, "inputs", None):  # a subclassed model
        raise _NotStepwiseError(f"model {model.name!r} is no chain of layers")
    layers = [x for x in model.layers if not isinstance(x, keras.layers.InputLayer)]
    tensor = model.inputs[0]
    for layer in layers:
        if not _takes(layer, tensor):
            raise _NotStepwiseError(f"layer {layer.name!r} is not part of a chain")
        _check_per_step(layer)
        tensor = layer.output
    if len(model.outputs) > 1 or tensor is not model.outputs[0]:
        raise _NotStepwiseError(f"layer {layers[-1].name!r} is not the model's output")
    if not any(isinstance(layer, keras.layers.RNN) for layer in layers):
        raise _NotStepwiseError(f"model {model.name!r} has no recurrent layer")
    return layers


def _takes(layer, tensor):
    """Whether `layer` is called once, on `tensor` and at most its mask."""
    try:
        first, *others = tree.flatten(layer.input)
    except (AttributeError, ValueError):  # called several times, or never
        return False
    return first is tensor and all(str(other.dtype) == "bool" for other in others)


def _check_per_step(layer):
    """Refuse a layer whose output at a step is not given by that step and a state."""
    if isinstance(layer, keras.layers.RNN):
        if layer.go_backwards:
            raise _NotStepwiseError(f"layer {layer.name!r} goes backwards")
        first_state = tree.flatten(layer.get_initial_state(batch_size=1))
        if any(ops.any(state != 0) for state in first_state):
            raise _NotStepwiseError(f"layer {layer.name!r} does not start from zeros")
        return
    rank = len(layer.output.shape)
    axes = {axis % rank for axis in tree.flatten(getattr(layer, "axis", -1))}
    if not isinstance(layer, _PER_STEP_LAYERS) or axes != {rank - 1}:
        raise _NotStepwiseError(f"layer {layer.name!r} does not treat each step alike")


def _steppers(chain):
    """Dict from the name of each recurrent layer to its `_Stepper`."""
    recurrent = [layer for layer in chain if isinstance(layer, keras.layers.RNN)]
    several = len(recurrent) > 1
    return {
        layer.name: _Stepper(layer, f"{layer.name}_" if several else "")
        for layer in recurrent
    }


class _Stepper:
    """A recurrent layer that takes its states by name, in real shapes, for one step."""

    def __init__(self, layer, prefix):
        names, shapes = _named_shapes(layer.cell)
        self.shapes = {prefix + n: s for n, s in zip(names, shapes, strict=True)}
        self.dtype = layer.cell.compute_dtype
        self.state_size = layer.state_size
        self.layer_dtype = layer.compute_dtype
        self.zero_output_for_mask = layer.zero_output_for_mask
        # A layer casts the states it gives to its own precision. Between steps they
        # have to keep the cell's, as they do inside the layer.
        self.rnn = keras.layers.RNN(
            layer.cell,
            return_sequences=layer.return_sequences,
            return_state=True,
            unroll=True,
            dtype=layer.cell.dtype_policy,
        )

    def __call__(self, inputs, mask, request):
        flat = [
            ops.reshape(request[name], (-1, size))
            for name, size in zip(
                self.shapes, tree.flatten(self.state_size), strict=True
            )
        ]
        initial_state = tree.pack_sequence_as(self.state_size, flat)
        inputs = ops.cast(inputs, self.layer_dtype)
        outputs, *states = self.rnn(inputs, initial_state=initial_state, mask=mask)
        if mask is not None:
            outputs = self._held(outputs, initial_state, mask)
        return ops.cast(outputs, self.layer_dtype), {
            name: ops.reshape(state, (-1, *shape))
            for (name, shape), state in zip(
                self.shapes.items(), tree.flatten(states), strict=True
            )
        }

    def _held(self, outputs, initial_state, mask):
        """Give the output before at masked steps, where Keras on TensorFlow gives 0."""
        stacked = isinstance(self.rnn.cell, keras.layers.StackedRNNCells)
        before = tree.flatten(initial_state[-1] if stacked else initial_state)[0]
        if before.shape[-1] != outputs.shape[-1]:  # no state of this cell holds it
            return outputs
        before = ops.cast(before, outputs.dtype)
        if self.zero_output_for_mask:
            before = ops.zeros_like(before)
        if self.rnn.return_sequences:
            return ops.where(mask[:, :, None], outputs, before[:, None])
        return ops.where(mask, outputs, before)


def _named_shapes(cell):
    """Names and shapes of one sample's states, for any Keras RNN cell."""
    if isinstance(cell, MemoryCell):
        return cell.state_names, cell.flat_state_shapes
    if isinstance(cell, keras.layers.StackedRNNCells):
        names, shapes = [], []
        for number, child in enumerate(cell.cells):
            child_names, child_shapes = _named_shapes(child)
            names += [f"cell_{number}_{name}" for name in child_names]
            shapes += child_shapes
        return names, shapes
    sizes = tree.flatten(cell.state_size)
    return [f"state_{n}" for n in range(len(sizes))], [(size,) for size in sizes]


def _warmup_request(model, base_path, inputs):
    """Give the log of one request, as the server reads it at loading."""
    import tensorflow as tf

    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError as error:
        raise ImportError(
            "Argument `warmup` needs TensorFlow Serving's protocol: "
            "`pip install keras_dnc[serving]`."
        ) from error
    shape, dtype = _input_shape_and_dtype(model)
    inputs = np.asarray(inputs)
    legend = [f"axis {n}" if size is None else size for n, size in enumerate(shape)]
    check_shape("warmup", inputs.shape, legend)
    if not np.can_cast(inputs.dtype, dtype, casting="same_kind"):
        raise ValueError(
            f"Argument `warmup` must be of a kind that fits {dtype}. "
            f"Received: warmup of dtype {inputs.dtype}"
        )
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = pathlib.Path(base_path).name
    request.model_spec.signature_name = "serving_default"
    request.inputs[_INPUTS].CopyFrom(tf.make_tensor_proto(inputs.astype(dtype)))
    return log


def _write_warmup(folder, log):
    """Write one request to `assets.extra`, where the server looks for it."""
    import tensorflow as tf

    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())
