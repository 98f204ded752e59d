"""Asking a served model step by step, as one asks a Keras layer that is stateful."""

import os
from typing import Any

import numpy as np

from keras_dnc.arguments import positive_integer
from keras_dnc.export.arrays import fitting
from keras_dnc.export.endpoints import BATCH_SIZE
from keras_dnc.export.endpoints import INPUTS
from keras_dnc.export.transports import connect


class StreamingClient:
    """Holds the state between the steps of a served model.

    Step after step, its outputs are those of the whole sequence. What does not fit the
    model is refused here, by name, before it is sent; after any error the state is
    what it was before the step.

    Args:
        target: Who is asked: the folder of a SavedModel (`serving/name/1`),
            TensorFlow Serving's REST interface (`"http://host:8501/v1/models/name"`) or
            its gRPC interface (`"grpc://host:8500/name"`).
        batch_size: Sequences that go on side by side.

    Attributes:
        batch_size: As given, or as given to `reset` last.

    Raises:
        ValueError: A target of no known kind, a served model without `step`, or a
            batch size that is no positive integer.

    Example:
        ```python
        client = StreamingClient("http://localhost:8501/v1/models/delay")
        for numbers in stream:  # each (batch_size, features)
            outputs = client.step(numbers)
        client.reset()
        ```
    """

    def __init__(self, target: str | os.PathLike, batch_size: int = 1) -> None:
        self._transport = connect(target)
        if "step" not in self._transport.signatures:
            raise ValueError(
                "Argument `target` must be a model with a `step` signature. "
                f"Received: one with {sorted(self._transport.signatures)}"
            )
        specs = self._transport.signatures["step"]["inputs"]
        self._inputs = specs[INPUTS]
        self._states = {name: spec for name, spec in specs.items() if name != INPUTS}
        gives = self._transport.signatures["step"]["outputs"]
        (self._outputs,) = set(gives) - set(self._states)
        self.batch_size = positive_integer("batch_size", batch_size)
        self.reset()

    def reset(self, batch_size: int | None = None) -> None:
        """Begin new sequences.

        Args:
            batch_size: How many, or `None` for as many as before.
        """
        if batch_size is None:
            batch_size = self.batch_size
        batch_size = positive_integer("batch_size", batch_size)
        request = {BATCH_SIZE: np.int32(batch_size)}
        self._state = self._transport.predict("initial_state", request)
        self.batch_size = batch_size

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Dict from the name of each state to its array, `(batch_size, ...)`.

        To go on elsewhere, or later, set another client's. The batch size is then that
        of the states given.
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
        """Take one step.

        Args:
            inputs: `(batch_size, ...)`, of the served model's kind of numbers.

        Returns:
            Array `(batch_size, ...)`, what the model gives for the step.

        Raises:
            ValueError: Inputs of another shape or kind, that their dtype does not
                hold, or that are not finite.
        """
        inputs = _fitting(INPUTS, inputs, self._inputs, self.batch_size)
        answer = self._transport.predict("step", {INPUTS: inputs, **self._state})
        outputs = answer.pop(self._outputs)
        self._state = answer
        return outputs


def _fitting(name, array, spec, batch_size):
    shape = [batch_size, *spec["shape"][1:]]
    return fitting(name, array, spec["dtype"], shape)
