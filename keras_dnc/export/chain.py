"""Models that can run step by step: chains of layers that go forward in time."""

import keras
from keras import tree

from keras_dnc.backend.keras_internals import GraphCall
from keras_dnc.backend.keras_internals import calls_of_graph
from keras_dnc.typing import Tensor

PER_STEP_LAYERS = (
    keras.layers.Activation,
    keras.layers.BatchNormalization,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Embedding,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.IntegerLookup,
    keras.layers.LayerNormalization,
    keras.layers.LeakyReLU,
    keras.layers.Masking,
    keras.layers.ReLU,
    keras.layers.SpatialDropout1D,
    keras.layers.StringLookup,
    keras.layers.TimeDistributed,
)


class NotServableError(Exception):
    """Raised if a model cannot have a signature; the message names the layer."""


def chain_of(model: keras.Model) -> list[keras.Layer]:
    """Return the layers of a model that is a chain, in the order in which they run.

    Args:
        model: A built Keras model.

    Returns:
        List of layers without input layers; the input of each layer is the output of
        the layer before it.

    Raises:
        NotServableError: If the model is not a chain, has no recurrent layer, or has a
            layer whose output at a step depends on other steps than through a state.

    Example:
        >>> model = keras.Sequential([keras.Input((None, 2)), keras.layers.GRU(3)])
        >>> [type(layer).__name__ for layer in chain_of(model)]
        ['GRU']
    """
    if not getattr(model, "inputs", None):  # a subclassed model
        raise NotServableError(f"model {model.name!r} is no chain of layers")
    tensor, layers = model.inputs[0], []
    for call in calls_of_graph(model):
        if _computes_a_mask(call):
            continue
        if call.layer in layers or not _takes(call, tensor):
            raise NotServableError(f"layer {call.layer.name!r} is not part of a chain")
        (tensor,) = call.outputs
        _check_per_step(call.layer, len(tensor.shape))
        layers.append(call.layer)
    if len(model.outputs) > 1 or tensor is not model.outputs[0]:
        raise NotServableError(f"layer {layers[-1].name!r} is not the model's output")
    if not any(isinstance(layer, keras.layers.RNN) for layer in layers):
        raise NotServableError(f"model {model.name!r} has no recurrent layer")
    return layers


def _computes_a_mask(call: GraphCall) -> bool:
    """Return whether a call computes masks only, as for `Embedding(mask_zero=True)`."""
    is_layer = isinstance(call.layer, keras.layers.Layer)
    return not is_layer and all(str(found.dtype) == "bool" for found in call.outputs)


def _takes(call: GraphCall, tensor: Tensor) -> bool:
    """Return whether a layer maps `tensor`, and at most its mask, to one tensor."""
    first, *others = call.inputs
    is_alone = all(str(other.dtype) == "bool" for other in others)
    return first is tensor and is_alone and len(call.outputs) == 1


def _check_per_step(layer: keras.Layer, rank: int) -> None:
    """Refuse a layer whose output at a step depends on more than it and a state."""
    if isinstance(layer, keras.layers.RNN):
        if layer.go_backwards:
            raise NotServableError(f"layer {layer.name!r} goes backwards")
        if rank > 3:
            raise NotServableError(f"layer {layer.name!r} has states of pictures")
        return
    axes = {axis % rank for axis in tree.flatten(getattr(layer, "axis", -1))}
    if not isinstance(layer, PER_STEP_LAYERS) or axes != {rank - 1}:
        raise NotServableError(f"layer {layer.name!r} does not treat each step alike")
