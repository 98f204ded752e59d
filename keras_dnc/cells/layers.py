"""The layers inside a model."""

import keras

from keras_dnc.backend.keras_internals import all_layers


def layers_of(model: keras.Layer) -> list[keras.Layer]:
    """Return `model` and every layer inside it, at any depth."""
    return [model, *all_layers(model)]
