"""Every private name of Keras and TensorFlow that the package relies on.

Each has a test in `tests/backend/test_keras_internals.py` that fails, with a message
about the consequences, if a new version removes the name or changes its meaning.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras
from keras.src.backend import AutocastScope

# Holds the scope that casts variables as they are read.
from keras.src.backend.common import global_state

# Returns whether Keras only infers shapes, as during calls on a `keras.Input`.
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

# Keras creates dropout masks before its loop for instances of this class only.
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

__all__ = [
    "DropoutRNNCell",
    "GraphCall",
    "all_layers",
    "calls_of_graph",
    "dropout_masks",
    "export_signature",
    "in_symbolic_scope",
    "no_autocast",
    "optimizer_moments",
    "set_dropout_masks",
    "tensorflow_compiles_with_xla",
    "tensorflow_has_started",
]

MASKS = ("_dropout_mask", "_recurrent_dropout_mask")  # of `DropoutRNNCell`


@contextlib.contextmanager
def no_autocast() -> Iterator[None]:
    """Read variables in the dtypes that they have, inside the call of any layer.

    `AutocastScope(None)` alone does so too, but then the `dtype` of every variable is
    floatx, to which `keras.StatelessScope` casts the values that replace it.

    Example:
        >>> variable = keras.Variable(1.0, dtype="float64")
        >>> with no_autocast():
        ...     print(variable.dtype)
        float64
    """
    with AutocastScope(None):
        global_state.set_global_attribute("autocast_scope", None)
        yield


def all_layers(layer: keras.Layer) -> list[keras.Layer]:
    """Return every layer inside a layer, at any depth, without the layer itself.

    Args:
        layer: Any Keras layer or model.

    Returns:
        List of layers.

    Example:
        >>> inner = keras.Sequential([keras.layers.Dense(2, name="deep")])
        >>> [layer.name for layer in all_layers(keras.Sequential([inner]))][-1]
        'deep'
    """
    return list(layer._flatten_layers(include_self=False))


class GraphCall(NamedTuple):
    """A call of a layer or another operation in the graph of a model.

    Attributes:
        layer: The layer or operation.
        inputs: List of the symbolic tensors that it is called on, masks among them.
        outputs: List of the symbolic tensors that it returns.
    """

    layer: Any
    inputs: list[Any]
    outputs: list[Any]


def calls_of_graph(model: keras.Model) -> list[GraphCall]:
    """Return the calls in the graph of one model, in the order in which they run.

    `layer.input` does not suffice: a layer that also belongs to other models, or to a
    model that was loaded, has been called several times.

    Args:
        model: A functional or a built `keras.Sequential` model.

    Returns:
        List of `GraphCall`s, without those of input layers.

    Example:
        >>> dense = keras.layers.Dense(3)
        >>> model = keras.Sequential([keras.Input((2,)), dense])
        >>> [call.layer is dense for call in calls_of_graph(model)]
        [True]
    """
    by_depth = getattr(model, "_functional", model)._nodes_by_depth
    return [
        GraphCall(node.operation, node.input_tensors, node.outputs)
        for depth in sorted(by_depth, reverse=True)
        for node in by_depth[depth]
        if not node.is_input
    ]


def dropout_masks(cell: keras.Layer) -> list[Any]:
    """Return the dropout masks that a cell has cached.

    Args:
        cell: A `DropoutRNNCell`.

    Returns:
        List of the masks of the inputs and of the recurrent state, each a tensor, a
        list of tensors (one per gate), or `None` if it is not cached.
    """
    return [getattr(cell, name, None) for name in MASKS]


def set_dropout_masks(cell: keras.Layer, masks: Iterable[Any]) -> None:
    """Replace the dropout masks that a cell has cached.

    Args:
        cell: A `DropoutRNNCell`.
        masks: Masks of the inputs and of the recurrent state, from `dropout_masks`.
    """
    for name, mask in zip(MASKS, masks, strict=True):
        setattr(cell, name, mask)


def optimizer_moments(
    optimizer: keras.optimizers.Adam, variable: keras.Variable
) -> tuple[keras.Variable, keras.Variable]:
    """Return the first and second moments that Adam keeps for a variable.

    Args:
        optimizer: `keras.optimizers.Adam`, or a subclass, that has been built.
        variable: One of the trainable variables of the optimizer.

    Returns:
        `(momentum, velocity)`, two variables of the shape of `variable`.
    """
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


def export_signature(model: keras.Model) -> Any:
    """Return the input signature that `Model.export` uses for a model.

    `Model.export` refuses a model of a custom class that has been loaded and not been
    called; its signature is that of the model before it was saved.

    Args:
        model: A built Keras model.

    Returns:
        Nested structure of `keras.InputSpec`s with shapes and dtypes of the inputs.
    """
    from keras.src.export.export_utils import get_input_signature

    model._called = True  # loading builds a model without calling it
    return get_input_signature(model)


def tensorflow_has_started() -> bool:
    """Return whether TensorFlow has computed something, and read its flags before."""
    from tensorflow.python.eager import context

    return context.context()._initialized


def tensorflow_compiles_with_xla() -> bool:
    """Return whether XLA compiles the TensorFlow graph that is being traced.

    Returns:
        True inside a `tf.function` with `jit_compile=True`, also within functions and
        loops that it calls; false in eager execution and in other graphs.
    """
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    graph = tf.compat.v1.get_default_graph()
    return control_flow_util.GraphOrParentsInXlaContext(graph)
