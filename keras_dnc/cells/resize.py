"""A trained model with a larger or a smaller memory (Graves et al. 2016).

The weights of a memory network see words, never slots, so that they serve a memory of
any size.
"""

import keras
from keras import ops

from keras_dnc.arguments import positive_integer
from keras_dnc.backend.keras_internals import all_layers


def resize_memory(model: keras.Model, memory_size: int) -> keras.Model:
    """Give the same model with another number of slots in every memory.

    The weights are the same, and nothing is trained again. A larger memory holds longer
    sequences; a smaller one is faster. What no training touches is made anew where it
    depends on the size: the random planes of an `LSHSearch`.

    Args:
        model: A built Keras model around one or more cells of this package. A model
            of a class of its own must have `get_config`.
        memory_size: Slots of every memory of the new model.

    Returns:
        A new model, compiled as the old one is, with a fresh optimizer. The old model
        stays as it is.

    Raises:
        ValueError: `memory_size` is no positive integer; the model has no memory, has
            not been built, has a cell that two layers share, or has weights whose shape
            depends on the number of slots, as initial memories that are learned or
            random.

    Example:
        >>> import keras_dnc
        >>> inputs = keras.Input((None, 6))
        >>> cell = keras_dnc.DNCCell(5, controller=8, memory_size=16, word_size=8)
        >>> model = keras.Model(inputs, keras.layers.RNN(cell)(inputs))
        >>> resize_memory(model, 64).layers[1].cell.memory_size
        64

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, Methods, "Memory resizing".
    """
    memory_size = positive_integer("memory_size", memory_size)
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(
            f"Argument `model` must be a built Keras model. Received: model={model!r}"
        )
    config = _resized(keras.saving.serialize_keras_object(model), memory_size)
    new = keras.saving.deserialize_keras_object(config)
    if not new.built:
        new.build(model.input_shape)
    _check_every_memory(model, new, memory_size)
    _copy_weights(model, new)
    return new


def _resized(config, memory_size):
    """Give a model's config with another `memory_size` wherever a memory has one."""
    if isinstance(config, list | tuple):
        return [_resized(part, memory_size) for part in config]
    if not isinstance(config, dict):
        return config
    found = {key: _resized(value, memory_size) for key, value in config.items()}
    if _is_of_this_package(config.get("registered_name")):
        found.pop("build_config", None)  # holds shapes of the old size
        if "memory_size" in found["config"]:
            found["config"]["memory_size"] = memory_size
    return found


def _is_of_this_package(registered_name):
    """Whether a layer, or one that it is derived from, belongs to keras_dnc."""
    layer = keras.saving.get_registered_object(registered_name or "")
    package = __name__.partition(".")[0] + "."
    return isinstance(layer, type) and any(
        kind.__module__.startswith(package) for kind in layer.__mro__
    )


def _check_every_memory(model, new, memory_size):
    """Raise a `ValueError` unless there are memories, and all have the new size."""
    memories = [layer for layer in all_layers(new) if hasattr(layer, "memory_size")]
    if not memories:
        raise ValueError(
            "Argument `model` must hold a layer or cell of keras_dnc with an argument "
            f"`memory_size`. Received: model={model!r} without one"
        )
    for layer in memories:
        if layer.memory_size != memory_size:
            raise ValueError(
                "Argument `model` must have memories of classes registered with "
                "`keras.saving.register_keras_serializable` alone. "
                f"Received: {layer!r}, which stays at {layer.memory_size} slots"
            )


# Random hyperplanes of an `LSHSearch`: no training touches them.
_MADE_ANEW = "planes"


def _copy_weights(model, new):
    if len(model.weights) != len(new.weights):
        raise ValueError(
            "Argument `model` must be one that its config gives back, and share no "
            f"cell. Received: model={model!r} of {len(model.weights)} weights; "
            f"its config gives one of {len(new.weights)}"
        )
    for old, weight in zip(model.weights, new.weights, strict=True):
        if tuple(old.shape) == tuple(weight.shape):
            # A copy: on JAX a model gives its arrays away when it trains or predicts.
            weight.assign(ops.convert_to_numpy(old))
        elif old.name != _MADE_ANEW:
            raise ValueError(
                "Argument `model` must have no weights whose shape depends on the "
                "number of slots, as initial memories that are learned or random. "
                f"Received: weight {old.path!r} of shape {tuple(old.shape)}, which "
                f"would have shape {tuple(weight.shape)}"
            )
