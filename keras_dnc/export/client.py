"""A client that runs a served model step by step, like a stateful Keras layer."""

import os
from typing import Any

import numpy as np

from keras_dnc.arguments import positive_integer
from keras_dnc.export.arrays import fitting
from keras_dnc.export.endpoints import BATCH_SIZE
from keras_dnc.export.endpoints import INPUTS
from keras_dnc.export.guide import Spec
from keras_dnc.export.transports import connect


class StreamingClient:
    """Run a served model step by step and keep its states between the steps.

    The outputs of consecutive steps equal those of the whole sequence. The client
    validates inputs and states before it sends them and names those that do not fit the
    model. After an error the state is the one before the step.

    Args:
        target: Where the model is: the folder of a SavedModel (`serving/name/1`),
            TensorFlow Serving's REST interface (`"http://host:8501/v1/models/name"`) or
            its gRPC interface (`"grpc://host:8500/name"`).
        batch_size: Number of sequences that run in parallel. Defaults to 1.

    Attributes:
        batch_size: Number of sequences that run in parallel at present.

    Raises:
        ValueError: If `target` is of no known kind, the served model has no `step`
            signature, or `batch_size` is not a positive integer.

    Example:
        ```python
        client = StreamingClient("http://localhost:8501/v1/models/delay")
        for numbers in stream:  # each (batch_size, features)
            outputs = client.step(numbers)
        client.reset()
        ```
    """

    batch_size: int

    def __init__(self, target: str | os.PathLike[str], batch_size: int = 1) -> None:
        self._transport = connect(target)
        if "step" not in self._transport.signatures:
            raise ValueError(
                "Argument `target` must be a model with a `step` signature. "
                f"Received: one with {sorted(self._transport.signatures)}"
            )
        specs = self._transport.signatures["step"]["inputs"]
        self._inputs = specs[INPUTS]
        self._states = {name: spec for name, spec in specs.items() if name != INPUTS}
        names = self._transport.signatures["step"]["outputs"]
        (self._outputs,) = set(names) - set(self._states)
        self.batch_size = positive_integer("batch_size", batch_size)
        self.reset()

    def reset(self, batch_size: int | None = None) -> None:
        """Start new sequences from the initial state.

        Args:
            batch_size: Number of sequences, or `None` to keep the present number.
                Defaults to `None`.

        Raises:
            ValueError: If `batch_size` is not a positive integer.
        """
        if batch_size is None:
            batch_size = self.batch_size
        batch_size = positive_integer("batch_size", batch_size)
        request = {BATCH_SIZE: np.int32(batch_size)}
        self._state = self._transport.predict("initial_state", request)
        self.batch_size = batch_size

    @property
    def state(self) -> dict[str, np.ndarray]:
        """States by name, each an array `(batch_size, ...)`.

        Assign the states of another client, or saved ones, to continue its sequences.
        The batch size becomes that of the assigned states.

        Raises:
            ValueError: If assigned states have other names or shapes than those of the
                model, different batch sizes, or values that do not fit its dtypes.
        """
        return dict(self._state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        if set(state) != set(self._states):
            raise ValueError(
                f"Argument `state` must have the states {sorted(self._states)}. "
                f"Received: missing {sorted(set(self._states) - set(state))}, "
                f"unknown {sorted(set(state) - set(self._states))}"
            )
        rows = {name: len(np.atleast_1d(array)) for name, array in state.items()}
        if len(set(rows.values())) != 1:
            raise ValueError(
                "Argument `state` must have states of one batch size. "
                f"Received: rows {rows}"
            )
        batch_size = positive_integer("batch_size", rows.popitem()[1])
        self._state = {
            name: _fitting(name, state[name], spec, batch_size)
            for name, spec in self._states.items()
        }
        self.batch_size = batch_size

    def step(self, inputs: Any) -> np.ndarray:
        """Run one step and keep the new states.

        Args:
            inputs: `(batch_size, ...)`, numbers or strings as the served model takes
                them, without a time axis.

        Returns:
            `numpy.ndarray` `(batch_size, ...)`, the output of the model at the step.

        Raises:
            ValueError: If the inputs have another shape or another kind of dtype, hold
                integers outside the range of the model's dtype, or hold NaN or
                infinity.
        """
        inputs = _fitting(INPUTS, inputs, self._inputs, self.batch_size)
        answer = self._transport.predict("step", {INPUTS: inputs, **self._state})
        outputs = answer.pop(self._outputs)
        self._state = answer
        return outputs


def _fitting(name: str, array: Any, spec: Spec, batch_size: int) -> np.ndarray:
    """Convert an array to the dtype of its spec and check its shape and values."""
    shape = [batch_size, *spec["shape"][1:]]
    return fitting(name, array, spec["dtype"], shape)
