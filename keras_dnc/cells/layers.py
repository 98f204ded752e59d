"""All layers inside a model."""

import keras

from keras_dnc.backend.keras_internals import all_layers


def layers_of(model: keras.Layer) -> list[keras.Layer]:
    """Return a model and every layer inside it, at any depth.

    Args:
        model: Any Keras layer or model.

    Returns:
        List of layers, `model` first.

    Example:
        >>> dense = keras.layers.Dense(2, name="dense")
        >>> model = keras.Sequential([dense], name="model")
        >>> [layer.name for layer in layers_of(model)]
        ['model', 'dense']
    """
    return [model, *all_layers(model)]
