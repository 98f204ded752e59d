"""Every private name of Keras and TensorFlow that the package relies on.

Each has a test in `tests/backend/test_keras_internals.py` that fails, and says what is
lost, when a new version drops the name or changes its meaning.
"""

from collections.abc import Iterable
from typing import Any

import keras

# A scope in which variables are not rounded to a layer's half precision.
from keras.src.backend import AutocastScope

# Whether Keras only infers shapes, as when a functional model is made.
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

# The class for whose instances alone Keras makes dropout masks before its loop.
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

__all__ = [
    "AutocastScope",
    "DropoutRNNCell",
    "all_layers",
    "dropout_masks",
    "export_signature",
    "in_symbolic_scope",
    "optimizer_moments",
    "resumes_at",
    "set_dropout_masks",
    "tensorflow_compiles_with_xla",
]

_MASKS = ("_dropout_mask", "_recurrent_dropout_mask")  # of `DropoutRNNCell`


def all_layers(layer: keras.Layer) -> list[keras.Layer]:
    """Return every layer inside `layer`, at any depth, without `layer` itself."""
    return list(layer._flatten_layers(include_self=False))


def dropout_masks(cell: keras.Layer) -> list[Any]:
    """Return the masks that a `DropoutRNNCell` holds, `None` where it holds none."""
    return [getattr(cell, name, None) for name in _MASKS]


def set_dropout_masks(cell: keras.Layer, masks: Iterable[Any]) -> None:
    """Make a `DropoutRNNCell` hold masks as `dropout_masks` returns them."""
    for name, mask in zip(_MASKS, masks, strict=True):
        setattr(cell, name, mask)


def optimizer_moments(
    optimizer: keras.optimizers.Adam, variable: keras.Variable
) -> tuple[Any, Any]:
    """Return the first and second moments that Adam keeps for a variable."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


def resumes_at(model: keras.Model) -> int | None:
    """Return the epoch at which `BackupAndRestore` has `fit` go on, or `None`."""
    return model._initial_epoch


def export_signature(model: keras.Model) -> Any:
    """Return the input signature that `Model.export` would give a model."""
    from keras.src.export.export_utils import get_input_signature

    return get_input_signature(model)


def tensorflow_compiles_with_xla() -> bool:
    """Return whether the TensorFlow graph that is being traced is compiled by XLA."""
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    graph = tf.compat.v1.get_default_graph()
    return control_flow_util.GraphOrParentsInXlaContext(graph)
