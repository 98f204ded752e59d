"""Transport that runs a Keras model step by step in this process, on any backend."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from keras_dnc.export.chain import NotServableError
from keras_dnc.export.chain import chain_of
from keras_dnc.export.endpoints import BATCH_SIZE
from keras_dnc.export.endpoints import INPUTS
from keras_dnc.export.endpoints import only_input
from keras_dnc.export.endpoints import output_name
from keras_dnc.export.endpoints import run_step
from keras_dnc.export.guide import Signatures
from keras_dnc.export.guide import Spec
from keras_dnc.export.guide import Specs
from keras_dnc.export.stepper import Stepper
from keras_dnc.export.stepper import steppers_of
from keras_dnc.export.transports import server_errors
from keras_dnc.typing import Tensor

_Arrays: TypeAlias = dict[str, np.ndarray]

_SCALAR: Spec = {"dtype": "int32", "shape": []}


class _Step(keras.Model):
    """One step of a chain of layers, from inputs and states to outputs and new states.

    It is no functional model: layers that a second graph has called have no `input` and
    `output` any more, and those of a user must keep them.

    Args:
        chain: Layers of a model, from `chain_of`.
        steppers: Steppers of its recurrent layers, from `steppers_of`.
        output: Name of the output.
    """

    def __init__(
        self, chain: list[keras.Layer], steppers: dict[str, Stepper], output: str
    ) -> None:
        # States keep the dtypes of their cells.
        super().__init__(name="step", autocast=False)
        self.chain, self.steppers, self.output_key = chain, steppers, output

    def call(self, request: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run one step."""
        outputs, states = run_step(self.chain, self.steppers, request)
        return {self.output_key: outputs, **states}


class KerasTransport:
    """Run one step of a Keras model per request.

    Keras compiles the step once for each batch size, with `tf.function` on TensorFlow
    and `jax.jit` on JAX; PyTorch runs it eagerly. New weights of the model take effect
    at the next step.

    Args:
        model: A built Keras model that is a chain of layers that treat each step alike
            and of recurrent layers that go forward. The states of stateful layers are
            neither used nor changed.

    Attributes:
        server: Name of the model, for messages.
        signatures: Names, dtypes and shapes of the tensors of `step` and
            `initial_state`.

    Raises:
        ValueError: If the model cannot run step by step.
    """

    def __init__(self, model: keras.Model) -> None:
        self.server = f"Keras model {model.name!r}"
        try:
            chain = chain_of(model)
        except NotServableError as reason:
            raise ValueError(
                "Argument `target` must be a Keras model that can run step by step. "
                f"Received: target={model!r}: {reason}"
            ) from reason
        self._steppers = steppers_of(chain)
        (_, _, *features), dtype = only_input(model)
        states = _state_specs(self._steppers)
        inputs = {INPUTS: _spec(features, dtype), **states}
        request = {
            name: keras.Input(spec["shape"][1:], dtype=spec["dtype"], name=name)
            for name, spec in inputs.items()
        }
        self._step = _Step(chain, self._steppers, output_name(model))
        outputs = self._step(request)
        self.signatures: Signatures = {
            "step": {"inputs": inputs, "outputs": _specs(outputs)},
            "initial_state": {"inputs": {BATCH_SIZE: _SCALAR}, "outputs": states},
        }

    def predict(self, signature: str, arrays: Mapping[str, Any]) -> _Arrays:
        """Run a signature.

        Args:
            signature: `"step"` or `"initial_state"`.
            arrays: Arrays of its inputs by name.

        Returns:
            Dict from the names of its outputs to arrays.

        Raises:
            ServerError: If the backend fails, as for a token beyond an embedding.
        """
        # Any exception: the type depends on the backend.
        with server_errors(self.server, f"`{signature}` failed", Exception):
            if signature == "step":
                return self._step.predict_on_batch(dict(arrays))
            return self._initial_state(int(arrays[BATCH_SIZE]))

    def _initial_state(self, batch_size: int) -> _Arrays:
        """Return the states at the start of sequences by name."""
        return {
            name: ops.convert_to_numpy(state)
            for stepper in self._steppers.values()
            for name, state in stepper.initial_state(batch_size).items()
        }


def _spec(shape: Iterable[int | None], dtype: str) -> Spec:
    """Return the spec of a tensor with a batch axis in front of its shape."""
    return {"dtype": dtype, "shape": [None, *shape]}


def _specs(tensors: dict[str, Tensor]) -> Specs:
    """Return the specs of symbolic tensors `(batch, ...)` by name."""
    return {
        name: _spec(tensor.shape[1:], tensor.dtype) for name, tensor in tensors.items()
    }


def _state_specs(steppers: dict[str, Stepper]) -> Specs:
    """Return the specs of all states by name."""
    return {
        name: _spec(shape, stepper.dtype)
        for stepper in steppers.values()
        for name, shape in stepper.shapes.items()
    }
