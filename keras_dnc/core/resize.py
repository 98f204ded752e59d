"""A trained model with a larger or a smaller memory (Graves et al. 2016).

The weights of a memory network see words, never slots, so that they serve a memory of
any size.
"""

import keras

from keras_dnc.core.arguments import positive_integer


def resize_memory(model, memory_size):
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
            not been built, or has weights whose shape depends on the number of slots,
            as learned initial memories are.

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
    config = keras.saving.serialize_keras_object(model)
    resized, count = _resized(config, memory_size)
    if not count:
        raise ValueError(
            "Argument `model` must hold a layer or cell of keras_dnc with an argument "
            f"`memory_size`. Received: model={model!r} without one"
        )
    new = keras.saving.deserialize_keras_object(resized)
    if not new.built:
        new.build(model.input_shape)
    for old, weight in zip(model.weights, new.weights, strict=True):
        if tuple(old.shape) == tuple(weight.shape):
            weight.assign(old)
        elif old.trainable:
            raise ValueError(
                "Argument `model` must have no weights whose shape depends on the "
                "number of slots, as learned initial memories are. "
                f"Received: weight {old.path!r} of shape {tuple(old.shape)}, which "
                f"would have shape {tuple(weight.shape)}"
            )
    return new


def _resized(config, memory_size):
    """Give a config with another `memory_size`, and in how many places it stood."""
    if isinstance(config, list | tuple):
        parts = [_resized(part, memory_size) for part in config]
        return [part for part, _ in parts], sum(count for _, count in parts)
    if not isinstance(config, dict):
        return config, 0
    ours = str(config.get("registered_name", "")).startswith("keras_dnc>")
    found, total = {}, 0
    for key, value in config.items():
        if ours and key == "build_config":  # holds shapes of the old size
            continue
        found[key], count = _resized(value, memory_size)
        total += count
    if ours and "memory_size" in found["config"]:
        found["config"]["memory_size"] = memory_size
        total += 1
    return found, total
