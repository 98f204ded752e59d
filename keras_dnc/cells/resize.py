"""A trained model with a larger or a smaller memory (Graves et al. 2016).

No weight of a memory network depends on the number of slots, so the same weights work
with a memory of any size.
"""

from typing import Any

import keras
from keras import ops

from keras_dnc.arguments import positive_integer
from keras_dnc.backend.keras_internals import all_layers


def resize_memory(model: keras.Model, memory_size: int) -> keras.Model:
    """Return a copy of a model with another number of slots in every memory.

    The weights are copied, and no training is needed. A larger memory holds longer
    sequences; a smaller one is faster. The random planes of an `LSHSearch`, which
    depend on the size and are not trained, are drawn again.

    Args:
        model: A built Keras model around one or more cells of this package. A model of
            a custom class must have `get_config`.
        memory_size: Slots of every memory of the new model.

    Returns:
        A new model, compiled like the old one, with a new optimizer. The old model is
        not changed.

    Raises:
        ValueError: If `memory_size` is not a positive integer, or if the model is not
            built, has no memory, shares a cell between layers, or has weights whose
            shape depends on the number of slots, such as a learned or random initial
            memory.

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


def _resized(config: Any, memory_size: int) -> Any:
    """Return the config of a model with another `memory_size` in every memory."""
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


def _is_of_this_package(registered_name: str | None) -> bool:
    """Return whether the class of a layer, or one of its bases, is of this package."""
    layer = keras.saving.get_registered_object(registered_name or "")
    package = __name__.partition(".")[0] + "."
    return isinstance(layer, type) and any(
        kind.__module__.startswith(package) for kind in layer.__mro__
    )


def _check_every_memory(model: keras.Model, new: keras.Model, memory_size: int) -> None:
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


_DRAWN_AGAIN = "planes"  # random hyperplanes of an `LSHSearch`, which are not trained


def _copy_weights(model: keras.Model, new: keras.Model) -> None:
    """Copy all weights whose shape is the same; refuse others but random planes."""
    if len(model.weights) != len(new.weights):
        raise ValueError(
            "Argument `model` must be one that its config gives back, and share no "
            f"cell. Received: model={model!r} of {len(model.weights)} weights; "
            f"its config gives one of {len(new.weights)}"
        )
    for old, weight in zip(model.weights, new.weights, strict=True):
        if tuple(old.shape) == tuple(weight.shape):
            # A copy: on JAX, a model donates its arrays when it trains or predicts.
            weight.assign(ops.convert_to_numpy(old))
        elif old.name != _DRAWN_AGAIN:
            raise ValueError(
                "Argument `model` must have no weights whose shape depends on the "
                "number of slots, as initial memories that are learned or random. "
                f"Received: weight {old.path!r} of shape {tuple(old.shape)}, which "
                f"would have shape {tuple(weight.shape)}"
            )
