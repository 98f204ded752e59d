"""The interface between controller and memory: a dense layer of named controls."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_dnc.arguments import check_shape
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import switch
from keras_dnc.cells.dense import dense_output
from keras_dnc.ops.normalization import NORM_EPSILON
from keras_dnc.ops.normalization import normalized
from keras_dnc.typing import Shape, Tensor


class Control(NamedTuple):
    """One control of an interface.

    Attributes:
        shape: Shape of one batch element, such as `(num_reads, word_size)`.
        activation: Keras activation that bounds the control, by name; a softmax is over
            the last axis. Defaults to `"linear"`.
    """

    shape: tuple[int, ...]
    activation: str = "linear"


@keras.saving.register_keras_serializable(package="keras_dnc")
class Interface(keras.layers.Layer):
    """A dense layer whose output is split into named controls with activations.

    One matrix product for all controls is several times as fast as one for each, and
    computes the same values.

    Args:
        controls: Dict from the name of each control to a pair `(shape, activation)`,
            such as a `Control`. Its order is that of the columns of the kernel.
        normalize: Whether the output of the dense layer is layer-normalised, all
            controls together, before it is split (Franke et al. 2018). The gradient
            fades where their variance is below 1e-5. Defaults to `False`.
        control_biases: Dict from names of controls to their biases before training, to
            which activations are applied: one number for the whole control, or a list
            with one number for each index of its last axis. Other controls start with
            bias 0. A sigmoid gate with bias -2 is nearly closed, with 2 nearly open.
            Defaults to `None`, no biases.
        **kwargs: `name`, `trainable` and `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, features)`, the controller's output.

    Returns:
        Dict from the name of each control to a tensor `(batch, *shape)`.

    Raises:
        ValueError: If there is no control, one is not such a pair, a size is not a
            positive integer, an activation is unknown to Keras, `normalize` is not a
            bool, biases are of an unknown control, of the wrong shape or not finite, or
            inputs have the wrong rank.

    Example:
        >>> import numpy as np
        >>> shapes = {"key": ((2, 3), "linear"), "gate": ((2,), "sigmoid")}
        >>> controls = Interface(shapes)(np.ones((5, 4), "float32"))
        >>> tuple(controls["key"].shape), tuple(controls["gate"].shape)
        ((5, 2, 3), (5, 2))

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, Methods, "Interface parameters".
        - Franke, Niehues and Waibel 2018, Robust and scalable differentiable neural
          computer for question answering, section 3.2.
    """

    def __init__(
        self,
        controls: Mapping[str, tuple[Any, str]],
        normalize: bool = False,
        control_biases: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.normalize = switch("normalize", normalize)
        if not isinstance(controls, Mapping) or not controls:
            raise ValueError(
                "Argument `controls` must be a dict that names at least one control. "
                f"Received: controls={controls!r}"
            )
        self.controls = {name: _control(name, pair) for name, pair in controls.items()}
        self.control_biases = _biases(control_biases, self.controls)

    @property
    def columns(self) -> dict[str, slice]:
        """Dict from the name of each control to its columns of the kernel."""
        slices, start = {}, 0
        for name, control in self.controls.items():
            stop = start + math.prod(control.shape)
            slices[name] = slice(start, stop)
            start = stop
        return slices

    def build(self, input_shape: Shape) -> None:
        """Create the dense layer and, with `normalize`, the layer normalisation.

        Args:
            input_shape: `(batch, features)`.
        """
        units = list(self.columns.values())[-1].stop
        first = self._first_bias(units)
        self.dense = keras.layers.Dense(
            units,
            bias_initializer="zeros" if self.normalize else first,
            dtype=self.dtype_policy,
            name="dense",
        )
        self.dense.build(input_shape)
        if self.normalize:  # its `beta` has the biases: normalising would change others
            self.norm = keras.layers.LayerNormalization(
                epsilon=NORM_EPSILON,
                beta_initializer=first,
                dtype=self.dtype_policy,
                name="norm",
            )
            self.norm.build((None, units))

    def _first_bias(self, units: int) -> str | keras.initializers.Initializer:
        """Return the initializer of the biases of all controls."""
        if not self.control_biases:
            return "zeros"
        first = np.zeros(units)
        for name, bias in self.control_biases.items():
            columns, control = self.columns[name], self.controls[name]
            first[columns] = np.broadcast_to(bias, control.shape).reshape(-1)
        return keras.initializers.Constant(first)

    def call(self, inputs: Tensor) -> dict[str, Tensor]:
        """Project, split, apply activations."""
        check_shape("inputs", inputs.shape, ("batch", "features"))
        projected = dense_output(self.dense, inputs)
        if self.normalize:
            projected = normalized(projected) * self.norm.gamma + self.norm.beta
        return {
            name: self._squash(projected[:, columns], self.controls[name])
            for name, columns in self.columns.items()
        }

    @staticmethod
    def _squash(columns: Tensor, control: Control) -> Tensor:
        """Reshape the columns of a control and apply its activation."""
        shaped = ops.reshape(columns, (-1, *control.shape))
        return keras.activations.get(control.activation)(shaped)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
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


def _control(name: str, pair: Any) -> Control:
    """Check the shape and the activation of a control, and return a `Control`."""
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError(
            f"Argument `controls[{name!r}]` must be a pair (shape, activation). "
            f"Received: {pair!r}"
        )
    shape, activation = pair
    if not isinstance(shape, list | tuple):
        raise ValueError(
            f"Argument `controls[{name!r}].shape` must be a tuple of positive "
            f"integers. Received: {shape!r}"
        )
    shape = tuple(positive_integer(f"controls[{name!r}].shape", n) for n in shape)
    keras.activations.get(activation)  # refuses a name that it does not know
    return Control(shape, activation)


def _biases(biases: Any, controls: Mapping[str, Control]) -> dict[str, Any]:
    """Check `control_biases`, and return a dict of numbers and lists of numbers."""
    if biases is None:
        return {}
    if not isinstance(biases, Mapping) or set(biases) - set(controls):
        raise ValueError(
            "Argument `control_biases` must be a dict from some of "
            f"{sorted(controls)} to numbers. Received: control_biases={biases!r}"
        )
    return {name: _bias(name, bias, controls[name]) for name, bias in biases.items()}


def _bias(name: str, bias: Any, control: Control) -> float | list[float]:
    """Check the bias of one control, and return a number or a list of numbers."""
    numbers = np.asarray(bias)
    shapes = ((), tuple(control.shape[-1:]))
    is_real = numbers.dtype.kind in "iuf"  # neither bool nor text
    if numbers.shape not in shapes or not is_real or not np.all(np.isfinite(numbers)):
        raise ValueError(
            f"Argument `control_biases[{name!r}]` must be a finite number, or a list "
            f"of one for each on the last axis of {control.shape}. Received: {bias!r}"
        )
    return numbers.astype(float).tolist()
