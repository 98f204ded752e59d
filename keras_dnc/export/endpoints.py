"""The functions behind the signatures: whole sequences, one step, how to begin.

Each takes and gives named tensors, and holds no assertion: other runtimes refuse those.
"""

import math
import warnings

import keras
from keras import ops
from keras import tree

from keras_dnc.export.chain import NotServableError
from keras_dnc.export.chain import chain_of
from keras_dnc.export.stepper import steppers_of

INPUTS, LENGTHS, OUTPUTS = "inputs", "lengths", "outputs"
BATCH_SIZE = "batch_size"


def input_spec(model):
    """Shape with a free batch, and dtype, of the model's one input.

    Raises:
        ValueError: The model takes several inputs.
    """
    # Keras's own way to find a subclassed model's inputs is not public.
    from keras.src.export.export_utils import get_input_signature

    specs = tree.flatten(get_input_signature(model))
    if len(specs) != 1:
        raise ValueError(
            "Argument `model` must take one input. "
            f"Received: a model of {len(specs)} inputs"
        )
    return (None, *specs[0].shape[1:]), specs[0].dtype


def sequence_endpoint(model):
    """Function and signature of `serving_default`."""
    import tensorflow as tf

    def serve(inputs):
        return _named_outputs(model(inputs, training=False))

    return serve, [tf.TensorSpec(*input_spec(model), name=INPUTS)]


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
        inputs = request[INPUTS]
        mask = tf.sequence_mask(request[LENGTHS], tf.shape(inputs)[1])
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
    return lambda inputs, mask: _run_chain(chain, inputs, mask)


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
    """Refuse a model in which a mask would be lost on its way."""
    if not getattr(model, "inputs", None):
        raise NotServableError(f"model {model.name!r} is no graph of layers")
    (inputs,) = model.inputs
    if len(inputs.shape) < 3 and "float" in inputs.dtype:
        raise NotServableError(f"model {model.name!r} takes no sequences")
    for layer in model.layers:
        masks_otherwise = getattr(layer, "mask_value", 0) != 0
        if not layer.supports_masking or masks_otherwise:
            raise NotServableError(f"layer {layer.name!r} does not pass a mask on")
        axes = tree.flatten(getattr(layer, "axis", -1))
        if any(axis == 1 or axis < -1 for axis in axes):
            raise NotServableError(f"layer {layer.name!r} may mix steps")


def step_endpoint(model):
    """Function and signature of `step`.

    Raises:
        NotServableError: The model cannot be run step by step.
    """
    import tensorflow as tf

    chain = chain_of(model)
    steppers = steppers_of(chain)
    keeps_time = all(stepper.keeps_time for stepper in steppers.values())
    (batch, _, *features), dtype = input_spec(model)
    signature = {INPUTS: tf.TensorSpec((batch, *features), dtype, INPUTS)}
    for stepper in steppers.values():
        for name, shape in stepper.shapes.items():
            signature[name] = tf.TensorSpec((None, *shape), stepper.dtype, name)

    def step(request):
        batch_size = tf.shape(request[INPUTS])[0]
        request = {
            name: tensor if name == INPUTS else _of_batch(batch_size, name, tensor)
            for name, tensor in request.items()
        }
        hidden, mask, response = ops.expand_dims(request[INPUTS], 1), None, {}
        for layer in chain:
            if layer.name in steppers:
                hidden, states = steppers[layer.name](hidden, mask, request)
                response |= states
            else:
                mask = layer.compute_mask(hidden, mask)
                hidden = layer(hidden)
        return response | {OUTPUTS: hidden[:, 0] if keeps_time else hidden}

    return step, [signature]


def _of_batch(batch_size, name, state):
    """Give a state that has as many rows as the inputs, or fail where it is named.

    A state of one row would else be stretched to any batch, and nobody told. Putting a
    column beside it fails at an operation that has the state's name, in every runtime;
    a reshape would be optimised away.
    """
    import tensorflow as tf

    flat = tf.reshape(state, (-1, math.prod(state.shape[1:])))
    beside = tf.concat([tf.zeros((batch_size, 1), state.dtype), flat], 1, f"for_{name}")
    return tf.reshape(beside[:, 1:], (-1, *state.shape[1:]))


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
