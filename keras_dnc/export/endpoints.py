"""Functions of the signatures: whole sequences, one step, and the initial state.

Each function maps named tensors to named tensors. None contains an assertion operation,
because other runtimes do not support them.
"""

import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
from keras import ops
from keras import tree

from keras_dnc.backend.keras_internals import export_signature
from keras_dnc.export.chain import PER_STEP_LAYERS
from keras_dnc.export.chain import NotServableError
from keras_dnc.export.chain import chain_of
from keras_dnc.export.stepper import Stepper
from keras_dnc.export.stepper import steppers_of
from keras_dnc.typing import Shape, Tensor

Named: TypeAlias = dict[str, Tensor]
Spec: TypeAlias = tuple[Shape, str]  # shape and dtype
Endpoint: TypeAlias = tuple[Callable[[Any], Named], list[Any]]  # function, signature

_TRUE_TO_MASKS = (
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.Bidirectional,
    keras.layers.Concatenate,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Multiply,
    keras.layers.RNN,
    keras.layers.Subtract,
)  # in addition to the layers that treat each step alike
INPUTS, LENGTHS, OUTPUTS = "inputs", "lengths", "outputs"
BATCH_SIZE = "batch_size"


def input_specs(model: keras.Model) -> dict[str, Spec]:
    """Return the shape and dtype of each input of a model by name.

    Args:
        model: A built Keras model.

    Returns:
        Dict from names to `(shape, dtype)`; the batch axis of each shape is `None`. The
        name of the only input is `inputs`. Several have the keys of a dict that the
        model takes, or the names of its `keras.Input`s.
    """
    structure = export_signature(model)
    specs = tree.flatten(structure)
    if len(specs) == 1:
        names = [INPUTS]
    elif len(structure) == 1 and isinstance(structure[0], dict):
        names = sorted(structure[0])
    else:
        names = [spec.name or f"{INPUTS}_{n}" for n, spec in enumerate(specs)]
    return {
        name: ((None, *spec.shape[1:]), spec.dtype)
        for name, spec in zip(names, specs, strict=True)
    }


def only_input(model: keras.Model) -> Spec:
    """Return the shape and dtype of the only input of a model.

    Args:
        model: A built Keras model.

    Raises:
        NotServableError: If the model takes several inputs.
    """
    specs = input_specs(model)
    if len(specs) > 1:
        raise NotServableError(f"model {model.name!r} takes the inputs {list(specs)}")
    return specs[INPUTS]


def sequence_endpoint(model: keras.Model) -> Endpoint:
    """Build `serving_default`, which maps whole sequences to outputs.

    Args:
        model: A built Keras model.

    Returns:
        `(function, signature)`: a function of TensorFlow tensors, and a list with the
        `tf.TensorSpec`s of its only argument.
    """
    import tensorflow as tf

    structure, specs = export_signature(model), input_specs(model)
    signature = {name: tf.TensorSpec(*spec, name) for name, spec in specs.items()}

    def serve(request: Named) -> Named:
        checked = [
            _checked_sequences(name, request[name], shape)
            for name, (shape, _) in specs.items()
        ]
        arguments = tree.pack_sequence_as(structure, checked)
        return _named_outputs(model(*arguments, training=False))

    return serve, [signature]


def padded_endpoint(model: keras.Model) -> Endpoint:
    """Build `serving_padded`, which maps padded sequences and lengths to outputs.

    Args:
        model: A built Keras model.

    Returns:
        `(function, signature)`: a function of TensorFlow tensors, and a list with the
        `tf.TensorSpec`s of its only argument.

    Raises:
        NotServableError: If the model takes several inputs, or one of its layers would
            process padding as data.
    """
    import tensorflow as tf

    shape, dtype = only_input(model)
    run = _masked_run(model)
    signature = {
        INPUTS: tf.TensorSpec(shape, dtype, INPUTS),
        LENGTHS: tf.TensorSpec((None,), "int32", LENGTHS),
    }

    def serve_padded(request: Named) -> Named:
        inputs = _checked_sequences(INPUTS, request[INPUTS], shape)
        lengths = _of_shape(LENGTHS, request[LENGTHS], tf.shape(inputs)[:1], ())
        mask = tf.sequence_mask(lengths, tf.shape(inputs)[1])
        features = (1,) * (len(shape) - 2)
        wide = ops.reshape(mask, (*ops.shape(mask), *features))
        blank = tf.where(wide, inputs, tf.zeros_like(inputs))  # also of NaN
        return _named_outputs(run(blank, mask))

    return serve_padded, [signature]


def _named_outputs(outputs: Any) -> Named:
    """Name the outputs of a model: its own keys, or `outputs`, `outputs_1`, ..."""
    if isinstance(outputs, dict):
        return outputs
    flat = tree.flatten(outputs)
    names = [OUTPUTS] + [f"{OUTPUTS}_{n}" for n in range(1, len(flat))]
    return dict(zip(names, flat, strict=True))


def _masked_run(model: keras.Model) -> Callable[[Tensor, Tensor], Any]:
    """Return a function of inputs and mask that runs the model."""
    try:
        chain = chain_of(model)
    except NotServableError:
        _check_masks_survive(model)
        return lambda inputs, mask: _run_graph(model, inputs, mask)
    output = output_name(model)
    return lambda inputs, mask: {output: _run_chain(chain, inputs, mask)}


def output_name(model: keras.Model) -> str:
    """Return the name of the only output of a model that is a chain.

    Args:
        model: A built Keras model.

    Returns:
        The key of the output if the model returns a dict, otherwise `"outputs"`.
    """
    spec = model.compute_output_spec(model.inputs[0])
    return next(iter(spec)) if isinstance(spec, dict) else OUTPUTS


def _run_graph(model: keras.Model, inputs: Tensor, mask: Tensor) -> Any:
    """Run a functional or sequential model with a mask of its input."""
    with warnings.catch_warnings():
        # Keras warns that a Sequential model loses the mask, but passes it on.
        warnings.filterwarnings("ignore", ".*does not support masking")
        return model(inputs, mask=mask, training=False)


def _run_chain(chain: list[keras.Layer], hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Run a chain with a mask, joined with the masks that its own layers compute."""
    for layer in chain:
        if isinstance(layer, keras.layers.RNN):
            hidden = layer(hidden, mask=mask)
        else:
            own = layer.compute_mask(hidden, None)
            mask = mask if own is None or mask is None else ops.logical_and(mask, own)
            hidden = layer(hidden)
        mask = mask if getattr(layer, "return_sequences", True) else None
    return hidden


def _check_masks_survive(model: keras.Model) -> None:
    """Refuse a model with a layer that drops masks or lets padding affect outputs."""
    if not getattr(model, "inputs", None):
        raise NotServableError(f"model {model.name!r} is no graph of layers")
    (inputs,) = model.inputs
    if len(inputs.shape) < 3 and "float" in inputs.dtype:
        raise NotServableError(f"model {model.name!r} takes no sequences")
    for layer in model.layers:
        if not _is_true_to_masks(layer):
            raise NotServableError(f"layer {layer.name!r} may mix padding in")


def _is_true_to_masks(layer: keras.Layer) -> bool:
    """Return whether a layer passes masks on and ignores masked steps elsewhere."""
    if isinstance(layer, keras.layers.InputLayer):
        return True
    axes = tree.flatten(getattr(layer, "axis", -1))
    return (
        isinstance(layer, (*PER_STEP_LAYERS, *_TRUE_TO_MASKS))
        and layer.supports_masking
        and all(axis in (-1, 2) for axis in axes)
        and getattr(layer, "mask_value", 0) == 0  # the value of padding
    )


def step_endpoint(model: keras.Model) -> Endpoint:
    """Build `step`, which maps inputs and states of one step to outputs and new states.

    Args:
        model: A built Keras model.

    Returns:
        `(function, signature)`: a function of TensorFlow tensors, and a list with the
        `tf.TensorSpec`s of its only argument.

    Raises:
        NotServableError: If the model cannot run step by step.
    """
    import tensorflow as tf

    (_, _, *features), dtype = only_input(model)
    chain = chain_of(model)
    steppers, output = steppers_of(chain), output_name(model)
    shapes: dict[str, Shape] = {INPUTS: tuple(features)}
    signature = {INPUTS: tf.TensorSpec((None, *features), dtype, INPUTS)}
    for stepper in steppers.values():
        shapes |= stepper.shapes
        for name, shape in stepper.shapes.items():
            signature[name] = tf.TensorSpec((None, *shape), stepper.dtype, name)

    def step(request: Named) -> Named:
        batch_size = tf.shape(request[INPUTS])[:1]
        request = {
            name: _of_shape(name, tensor, batch_size, shapes[name])
            for name, tensor in request.items()
        }
        outputs, states = run_step(chain, steppers, request)
        return {output: outputs, **states}

    return step, [signature]


def run_step(
    chain: list[keras.Layer], steppers: dict[str, Stepper], request: Named
) -> tuple[Tensor, Named]:
    """Run a chain of layers for one step.

    Args:
        chain: Layers of a model, from `chain_of`.
        steppers: Steppers of its recurrent layers, from `steppers_of`.
        request: Dict with `inputs`, `(batch, ...)`, and every state by name.

    Returns:
        `(outputs, states)`: the output at the step, and a dict from names to new
        states.
    """
    hidden, mask = ops.expand_dims(request[INPUTS], 1), None
    new_states: Named = {}
    for layer in chain:
        if layer.name in steppers:
            hidden, states = steppers[layer.name](hidden, mask, request)
            new_states |= states
        else:
            mask = layer.compute_mask(hidden, mask)
            hidden = layer(hidden)
    keeps_time = all(stepper.keeps_time for stepper in steppers.values())
    return hidden[:, 0] if keeps_time else hidden, new_states


def _of_shape(name: str, tensor: Tensor, leading: Tensor, shape: Shape) -> Tensor:
    """Return a tensor of shape `(*leading, *shape)`, or fail at a named operation.

    Without this check, a state of one row would be broadcast to any batch, and a state
    with transposed axes would be misread, both without an error. Concatenation with a
    tensor of the right shape fails in every runtime; a reshape may be optimised away.

    Args:
        name: Name of the input; operations are named `for_<name>/...`.
        tensor: Value of the input.
        leading: `(axes,)`, integers: sizes of the first axes, batch or batch and time.
        shape: Sizes of the other axes.
    """
    import tensorflow as tf

    axis = leading.shape[0]
    with tf.name_scope(f"for_{name}"):
        if not shape:
            tensor = tf.expand_dims(tensor, axis)
        size, *others = shape or (1,)
        thin = tf.concat([leading, [1], tf.constant(others, "int32")], 0)
        beside = tf.concat([tf.zeros(thin, tensor.dtype), tensor], axis)
        tensor = tf.split(beside, [1, size], axis)[1]
        return tensor if shape else tf.squeeze(tensor, axis)


def _checked_sequences(name: str, inputs: Tensor, shape: Shape) -> Tensor:
    """Return inputs of a model's input shape, or fail at a named operation."""
    import tensorflow as tf

    free = [size is None for size in shape]
    count = free.index(False) if False in free else len(shape)
    if any(free[count:]):  # the model checks free sizes after fixed ones
        return inputs
    return _of_shape(name, inputs, tf.shape(inputs)[:count], shape[count:])


def initial_state_endpoint(model: keras.Model) -> Endpoint:
    """Build `initial_state`, which maps a batch size to the initial states.

    Args:
        model: A built Keras model.

    Returns:
        `(function, signature)`: a function of TensorFlow tensors, and a list with the
        `tf.TensorSpec`s of its only argument.

    Raises:
        NotServableError: If the model cannot run step by step.
    """
    import tensorflow as tf

    only_input(model)
    steppers = steppers_of(chain_of(model))

    def initial_state(batch_size: Tensor) -> Named:
        response: Named = {}
        for stepper in steppers.values():
            response |= stepper.initial_state(batch_size)
        return response

    return initial_state, [tf.TensorSpec((), "int32", BATCH_SIZE)]
