"""Dense layers inside a step, whose weight gradients can be deferred."""

import keras
from keras import ops

from keras_dnc.ops.linear import linear
from keras_dnc.typing import Tensor


def dense_output(layer: keras.layers.Dense, inputs: Tensor) -> Tensor:
    """Return the output of a dense layer, computed by `ops.linear`.

    A layer that is quantized or has LoRA weights is called as usual.

    Args:
        layer: A built dense layer.
        inputs: `(batch, features)`.

    Returns:
        `(batch, units)`.

    Example:
        >>> layer = keras.layers.Dense(3, kernel_initializer="ones")
        >>> layer.build((None, 2))
        >>> ops.convert_to_numpy(dense_output(layer, ops.ones((1, 2)))).tolist()
        [[2.0, 2.0, 2.0]]
    """
    if layer.quantization_mode is not None or layer.lora_enabled:
        return layer(inputs)
    inputs = ops.cast(inputs, layer.compute_dtype)
    return layer.activation(linear([inputs], [layer.kernel], layer.bias))
