"""The functions behind the signatures: whole sequences, one step, how to begin.

Each takes and gives named tensors, and holds no assertion: other runtimes refuse those.
"""

import warnings

import keras
from keras import ops
from keras import tree

from keras_dnc.backend.keras_internals import export_signature
from keras_dnc.export.chain import PER_STEP_LAYERS
from keras_dnc.export.chain import NotServableError
from keras_dnc.export.chain import chain_of
from keras_dnc.export.stepper import steppers_of

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
)  # beside those that treat each step alike
INPUTS, LENGTHS, OUTPUTS = "inputs", "lengths", "outputs"
BATCH_SIZE = "batch_size"


def input_spec(model):
    """Shape with a free batch, and dtype, of the model's one input.

    Raises:
        ValueError: The model takes several inputs.
    """
    specs = tree.flatten(export_signature(model))
    if len(specs) != 1:
        raise ValueError(
            "Argument `model` must take one input. "
            f"Received: a model of {len(specs)} inputs"
        )
    return (None, *specs[0].shape[1:]), specs[0].dtype


def sequence_endpoint(model):
    """Function and signature of `serving_default`."""
    import tensorflow as tf

    shape, dtype = input_spec(model)

    def serve(inputs):
        inputs = _checked_sequences(inputs, shape)
        return _named_outputs(model(inputs, training=False))

    return serve, [tf.TensorSpec(shape, dtype, INPUTS)]


def padded_endpoint(model):
    """Function and signature of `serving_padded`.

    Raises:
        NotServableError: A layer of the model would not see which steps are padding.
    """
    import tensorflow as tf

    run = _masked_run(model)
    shape, dtype = input_spec(model)
    signature = {
        INPUTS: tf.TensorSpec(shape, dtype, INPUTS),
        LENGTHS: tf.TensorSpec((None,), "int32", LENGTHS),
    }

    def serve_padded(request):
        inputs = _checked_sequences(request[INPUTS], shape)
        lengths = _of_shape(LENGTHS, request[LENGTHS], tf.shape(inputs)[:1], ())
        mask = tf.sequence_mask(lengths, tf.shape(inputs)[1])
        features = (1,) * (len(shape) - 2)
        wide = ops.reshape(mask, (*ops.shape(mask), *features))
        blank = tf.where(wide, inputs, tf.zeros_like(inputs))  # also of NaN
        return _named_outputs(run(blank, mask))

    return serve_padded, [signature]


def _named_outputs(outputs):
    if isinstance(outputs, dict):
        return outputs
    flat = tree.flatten(outputs)
    names = [OUTPUTS] + [f"{OUTPUTS}_{n}" for n in range(1, len(flat))]
    return dict(zip(names, flat, strict=True))


def _masked_run(model):
    """Give a function of inputs and a mask that is the model."""
    try:
        chain = chain_of(model)
    except NotServableError:
        _check_masks_survive(model)
        return lambda inputs, mask: _run_graph(model, inputs, mask)
    output = _output_name(model)
    return lambda inputs, mask: {output: _run_chain(chain, inputs, mask)}


def _output_name(model):
    """Give the name of a chain's one output: its key, where the model gives a dict."""
    given = model.compute_output_spec(model.inputs[0])
    return next(iter(given)) if isinstance(given, dict) else OUTPUTS


def _run_graph(model, inputs, mask):
    with warnings.catch_warnings():
        # Keras says of a Sequential model that it loses the mask, and hands it on.
        warnings.filterwarnings("ignore", ".*does not support masking")
        return model(inputs, mask=mask, training=False)


def _run_chain(chain, hidden, mask):
    """Run a chain, with what its own layers mask besides."""
    for layer in chain:
        if isinstance(layer, keras.layers.RNN):
            hidden = layer(hidden, mask=mask)
        else:
            own = layer.compute_mask(hidden, None)
            mask = mask if own is None or mask is None else ops.logical_and(mask, own)
            hidden = layer(hidden)
        mask = mask if getattr(layer, "return_sequences", True) else None
    return hidden


def _check_masks_survive(model):
    """Refuse a model in which a mask would be lost, or padding would be mixed in."""
    if not getattr(model, "inputs", None):
        raise NotServableError(f"model {model.name!r} is no graph of layers")
    (inputs,) = model.inputs
    if len(inputs.shape) < 3 and "float" in inputs.dtype:
        raise NotServableError(f"model {model.name!r} takes no sequences")
    for layer in model.layers:
        if not _is_true_to_masks(layer):
            raise NotServableError(f"layer {layer.name!r} may mix padding in")


def _is_true_to_masks(layer):
    """Whether a layer hands its mask on, and what is masked changes nothing else."""
    if isinstance(layer, keras.layers.InputLayer):
        return True
    axes = tree.flatten(getattr(layer, "axis", -1))
    return (
        isinstance(layer, (*PER_STEP_LAYERS, *_TRUE_TO_MASKS))
        and layer.supports_masking
        and all(axis in (-1, 2) for axis in axes)
        and getattr(layer, "mask_value", 0) == 0  # what an export pads with
    )


def step_endpoint(model):
    """Function and signature of `step`.

    Raises:
        NotServableError: The model cannot be run step by step.
    """
    import tensorflow as tf

    chain = chain_of(model)
    steppers, output = steppers_of(chain), _output_name(model)
    (_, _, *features), dtype = input_spec(model)
    shapes = {INPUTS: tuple(features)}
    signature = {INPUTS: tf.TensorSpec((None, *features), dtype, INPUTS)}
    for stepper in steppers.values():
        shapes |= stepper.shapes
        for name, shape in stepper.shapes.items():
            signature[name] = tf.TensorSpec((None, *shape), stepper.dtype, name)

    def step(request):
        batch_size = tf.shape(request[INPUTS])[:1]
        request = {
            name: _of_shape(name, tensor, batch_size, shapes[name])
            for name, tensor in request.items()
        }
        outputs, states = _run_step(chain, steppers, request)
        return {output: outputs, **states}

    return step, [signature]


def _run_step(chain, steppers, request):
    """Run a chain for one step; give its outputs, and its new states by name."""
    hidden, mask, new_states = ops.expand_dims(request[INPUTS], 1), None, {}
    for layer in chain:
        if layer.name in steppers:
            hidden, states = steppers[layer.name](hidden, mask, request)
            new_states |= states
        else:
            mask = layer.compute_mask(hidden, mask)
            hidden = layer(hidden)
    keeps_time = all(stepper.keeps_time for stepper in steppers.values())
    return hidden[:, 0] if keeps_time else hidden, new_states


def _of_shape(name, tensor, leading, shape):
    """Give a tensor `(*leading, *shape)`, or fail at operations of its name.

    A state of one row would else be stretched to any batch, and one with its axes in
    another order be read as it lies, and nobody told. Putting something of the right
    shape beside it fails in every runtime; a reshape would be optimised away.

    Args:
        name: Of the input; operations are `for_<name>/...`.
        tensor: What was sent.
        leading: The first sizes, a vector: the batch, or batch and time.
        shape: The others, a tuple.
    """
    import tensorflow as tf

    axis = leading.shape[0]
    with tf.name_scope(f"for_{name}"):
        if not shape:
            tensor, size, others = tf.expand_dims(tensor, axis), 1, ()
        else:
            size, *others = shape
        thin = tf.concat([leading, [1], tf.constant(others, "int32")], 0)
        beside = tf.concat([tf.zeros(thin, tensor.dtype), tensor], axis)
        tensor = tf.split(beside, [1, size], axis)[1]
        return tensor if shape else tf.squeeze(tensor, axis)


def _checked_sequences(inputs, shape):
    """Give `inputs` of a model's input shape, or fail at operations of its name."""
    import tensorflow as tf

    free = [size is None for size in shape]
    count = free.index(False) if False in free else len(shape)
    if any(free[count:]):  # free sizes after fixed ones are left to the model
        return inputs
    return _of_shape(INPUTS, inputs, tf.shape(inputs)[:count], shape[count:])


def initial_state_endpoint(model):
    """Function and signature of `initial_state`.

    Raises:
        NotServableError: The model cannot be run step by step.
    """
    import tensorflow as tf

    steppers = steppers_of(chain_of(model))

    def initial_state(batch_size):
        response = {}
        for stepper in steppers.values():
            response |= stepper.initial_state(batch_size)
        return response

    return initial_state, [tf.TensorSpec((), "int32", BATCH_SIZE)]
