"""The interface: what a controller says to its memory, each control by its name."""

import math
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.cells.controllers import NORM_EPSILON


class Control(NamedTuple):
    """One control of an interface.

    Attributes:
        shape: Its shape for one sample, such as `(num_reads, word_size)`.
        activation: What squashes it into its range, a Keras activation by name. The
            softmax runs over the last axis.
    """

    shape: tuple
    activation: str = "linear"


@keras.saving.register_keras_serializable(package="keras_dnc")
class Interface(keras.layers.Layer):
    """One dense layer, split into named controls, each squashed into its range.

    One matrix product for all controls is several times faster than one for each, and
    computes the same numbers.

    Args:
        controls: Dict from a control's name to its `Control`, or to the pair
            `(shape, activation)`. The order is the order of the kernel's columns.
        normalize: Whether the dense layer's output is layer-normalised, all controls
            together, before it is split (Franke et al. 2018).
        control_biases: Dict from names of controls to their biases before training,
            which are squashed with the rest: a number for all, or a list with one for
            each number of the control's last axis; 0 where nothing is said. A gate that
            starts at -2 is nearly closed, at 2 nearly open.
        **kwargs: `name` and `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the controller's output.

    Returns:
        Dict from each name to a tensor `(batch, *shape)`.

    Raises:
        ValueError: No control, a size that is no positive integer, an activation that
            Keras does not know, biases of a control that there is not, that do not fit
            it or that are not finite, or inputs of the wrong rank.

    Example:
        >>> import numpy as np
        >>> shapes = {"key": ((2, 3), "linear"), "gate": ((2,), "sigmoid")}
        >>> controls = Interface(shapes)(np.ones((5, 4), "float32"))
        >>> tuple(controls["key"].shape), tuple(controls["gate"].shape)
        ((5, 2, 3), (5, 2))

    References:
        - Graves et al. 2016, Methods, "Interface parameters".
        - Franke, Niehues and Waibel 2018, Robust and scalable differentiable neural
          computer for question answering, section 3.2.
    """

    def __init__(
        self,
        controls,
        normalize: bool = False,
        control_biases: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("normalize", normalize, (False, True))
        self.normalize = normalize
        self.controls = {
            name: _control(name, shape, activation)
            for name, (shape, activation) in controls.items()
        }
        if not self.controls:
            raise ValueError(
                "Argument `controls` must name at least one control. "
                f"Received: controls={controls!r}"
            )
        self.control_biases = _biases(control_biases, self.controls)

    @property
    def columns(self):
        """Where each control stands in the kernel: dict from name to `slice`."""
        slices, start = {}, 0
        for name, control in self.controls.items():
            stop = start + math.prod(control.shape)
            slices[name] = slice(start, stop)
            start = stop
        return slices

    def build(self, input_shape):
        """Create the one dense layer, and what normalises it."""
        units = list(self.columns.values())[-1].stop
        first = self._first_bias(units)
        self.dense = keras.layers.Dense(
            units,
            bias_initializer="zeros" if self.normalize else first,
            dtype=self.dtype_policy,
            name="dense",
        )
        self.dense.build(input_shape)
        if self.normalize:  # which takes the mean out of what comes before
            self.norm = keras.layers.LayerNormalization(
                epsilon=NORM_EPSILON,
                beta_initializer=first,
                dtype=self.dtype_policy,
                name="norm",
            )
            self.norm.build((None, units))

    def _first_bias(self, units):
        """Give the initializer of the bias, a row of all controls."""
        if not self.control_biases:
            return "zeros"
        first = np.zeros(units)
        for name, bias in self.control_biases.items():
            columns, control = self.columns[name], self.controls[name]
            first[columns] = np.broadcast_to(bias, control.shape).reshape(-1)
        return keras.initializers.Constant(first)

    def call(self, inputs):
        """Project, split, squash."""
        check_shape("inputs", inputs.shape, ("batch", "features"))
        projected = self.dense(inputs)
        if self.normalize:
            projected = self.norm(projected)
        return {
            name: self._squash(projected[:, columns], self.controls[name])
            for name, columns in self.columns.items()
        }

    @staticmethod
    def _squash(columns, control):
        shaped = ops.reshape(columns, (-1, *control.shape))
        return keras.activations.get(control.activation)(shaped)

    def get_config(self):
        """Give the constructor's arguments."""
        controls = {
            name: [list(control.shape), control.activation]
            for name, control in self.controls.items()
        }
        return {
            **super().get_config(),
            "controls": controls,
            "normalize": self.normalize,
            "control_biases": {  # a copy: Keras tracks the dict, and lists in it
                name: list(bias) if isinstance(bias, list) else bias
                for name, bias in self.control_biases.items()
            },
        }


def _control(name, shape, activation):
    """Give a `Control`, each part of which has been checked."""
    if not isinstance(shape, list | tuple):
        raise ValueError(
            f"Argument `controls[{name!r}].shape` must be a tuple of positive "
            f"integers. Received: {shape!r}"
        )
    shape = tuple(positive_integer(f"controls[{name!r}].shape", n) for n in shape)
    keras.activations.get(activation)  # refuses a name that it does not know
    return Control(shape, activation)


def _biases(biases, controls):
    """Give `control_biases` as a dict of numbers and lists of them, checked."""
    if biases is None:
        return {}
    if not isinstance(biases, Mapping) or set(biases) - set(controls):
        raise ValueError(
            "Argument `control_biases` must be a dict from some of "
            f"{sorted(controls)} to numbers. Received: control_biases={biases!r}"
        )
    return {name: _bias(name, bias, controls[name]) for name, bias in biases.items()}


def _bias(name, bias, control):
    """Give the bias of one control as a number or a list of numbers, checked."""
    numbers = np.asarray(bias)
    shapes = ((), tuple(control.shape[-1:]))
    is_real = numbers.dtype.kind in "iuf"  # neither bool nor text
    if numbers.shape not in shapes or not is_real or not np.all(np.isfinite(numbers)):
        raise ValueError(
            f"Argument `control_biases[{name!r}]` must be a finite number, or a list "
            f"of one for each on the last axis of {control.shape}. Received: {bias!r}"
        )
    return numbers.astype(float).tolist()
