"""A client that runs a served model step by step, like a stateful Keras layer."""

import numbers
import os
import threading
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_dnc.arguments import positive_integer
from keras_dnc.export.arrays import fitting
from keras_dnc.export.endpoints import BATCH_SIZE
from keras_dnc.export.endpoints import INPUTS
from keras_dnc.export.guide import Specs
from keras_dnc.export.keras_transport import KerasTransport
from keras_dnc.export.transports import ServerError
from keras_dnc.export.transports import Transport
from keras_dnc.export.transports import connect
from keras_dnc.export.transports import server_errors

Arrays: TypeAlias = dict[str, np.ndarray]  # by the names of tensors


class StreamingClient:
    """Run a model step by step and keep its states between the steps.

    The outputs of consecutive steps equal those of the whole sequence. The client
    validates inputs and states before it sends them and names those that do not fit the
    model. It validates every answer before it keeps the new states: names, shapes,
    dtypes, and that all numbers are finite, so a model whose outputs may be infinite
    cannot be used. After an error, `state` and `batch_size` are as before the call.

    Several threads may share a client. `step`, `reset` and assignment to `state` run
    one after another; a call waits for the one before it.

    Args:
        target: Where the model is: the folder of a SavedModel (`serving/name/1`) or of
            its versions (`serving/name`, for the newest), TensorFlow Serving's REST
            interface (`"http://host:8501/v1/models/name"`), its gRPC interface
            (`"grpc://host:8500/name"`), or a built `keras.Model`. A Keras model runs in
            this process on any backend, which compiles the step once; it must be a
            chain of layers that treat each step alike and of recurrent layers that go
            forward.
        batch_size: Number of sequences that run in parallel. Defaults to 1.
        timeout: Seconds that each whole answer of a server may take, from the
            connection to the last byte. A model in this process has no time limit.
            Defaults to 60.

    Attributes:
        batch_size: Number of sequences that run in parallel at present.

    Raises:
        ServerError: If the server fails or its answers are invalid.
        ValueError: If `target` is of no known kind, the model cannot run step by step
            or has no `step` signature, `batch_size` is not a positive integer, or
            `timeout` is not a positive number.

    Example:
        ```python
        client = StreamingClient("http://localhost:8501/v1/models/delay")
        for numbers in stream:  # each (batch_size, features)
            outputs = client.step(numbers)
        client.reset()
        ```
    """

    batch_size: int

    def __init__(
        self,
        target: str | os.PathLike[str] | keras.Model,
        batch_size: int = 1,
        timeout: float = 60.0,
    ) -> None:
        batch_size = positive_integer("batch_size", batch_size)
        _check_timeout(timeout)
        self._lock = threading.Lock()
        self._transport: Transport = (
            KerasTransport(target)
            if isinstance(target, keras.Model)
            else connect(target, timeout)
        )
        self._read_specs()
        self.reset(batch_size)

    def _read_specs(self) -> None:
        """Find the tensors of a step and check that the signatures fit each other."""
        signatures = self._transport.signatures
        if "step" not in signatures:
            raise ValueError(
                "Argument `target` must be a model with a `step` signature. "
                f"Received: one with {sorted(signatures)}"
            )
        problem = "`step` and `initial_state` do not have the signatures of an export"
        with server_errors(self._transport.server, problem, KeyError, ValueError):
            self._states = dict(signatures["step"]["inputs"])
            self._inputs = self._states.pop(INPUTS)
            outputs = signatures["step"]["outputs"]
            (self._output,) = set(outputs) - set(self._states)
            self._step_specs = {**self._states, self._output: outputs[self._output]}
            _check_names("`step` must return", outputs, self._step_specs)
            initial = signatures["initial_state"]["outputs"]
            _check_names("`initial_state` must return", initial, self._states)

    def reset(self, batch_size: int | None = None) -> None:
        """Start new sequences from the initial state.

        Args:
            batch_size: Number of sequences, or `None` to keep the present number.
                Defaults to `None`.

        Raises:
            ServerError: If the server fails or its answer is invalid. The states and
                the number of sequences are then as before.
            ValueError: If `batch_size` is not a positive integer.

        Example:
            ```python
            client = StreamingClient("http://localhost:8501/v1/models/delay")
            client.reset(batch_size=3)
            ```
        """
        with self._lock:
            if batch_size is None:
                batch_size = self.batch_size
            batch_size = positive_integer("batch_size", batch_size)
            request = {BATCH_SIZE: np.int32(batch_size)}
            self._state = self._predict(
                "initial_state", request, self._states, batch_size
            )
            self.batch_size = batch_size

    @property
    def state(self) -> dict[str, np.ndarray]:
        """States by name, each an array `(batch_size, ...)`.

        Assign the states of another client, or saved ones, to continue its sequences.
        The batch size becomes that of the assigned states.

        Raises:
            ValueError: If assigned states have other names or shapes than those of the
                model, different batch sizes, values that do not fit its dtypes, or NaN
                or infinity.
        """
        return dict(self._state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        _check_names("Argument `state` must have the states", state, self._states)
        rows = {name: len(np.atleast_1d(array)) for name, array in state.items()}
        if len(set(rows.values())) != 1:
            raise ValueError(
                "Argument `state` must have states of one batch size. "
                f"Received: rows {rows}"
            )
        batch_size = positive_integer("batch_size", rows.popitem()[1])
        fitted = _fitting(state, self._states, batch_size)
        with self._lock:
            self._state, self.batch_size = fitted, batch_size

    def step(self, inputs: Any) -> np.ndarray:
        """Run one step and keep the new states.

        Args:
            inputs: `(batch_size, ...)`, numbers or strings as the served model takes
                them, without a time axis.

        Returns:
            `numpy.ndarray` `(batch_size, ...)`, the output of the model at the step.

        Raises:
            ServerError: If the server fails, takes longer than the timeout, or answers
                with names, shapes or dtypes other than those of the model, or with NaN
                or infinity. The states are then as before.
            ValueError: If the inputs have another shape or another kind of dtype, hold
                integers outside the range of the model's dtype, or hold NaN or
                infinity.

        Example:
            ```python
            client = StreamingClient("http://localhost:8501/v1/models/delay")
            outputs = client.step([[0.0, 1.0]])  # one sequence of two features
            ```
        """
        with self._lock:
            given = _fitting({INPUTS: inputs}, {INPUTS: self._inputs}, self.batch_size)
            request = {**given, **self._state}
            state = self._predict("step", request, self._step_specs, self.batch_size)
            outputs = state.pop(self._output)
            self._state = state
            return outputs

    def _predict(
        self, signature: str, request: Mapping[str, Any], specs: Specs, batch_size: int
    ) -> Arrays:
        """Run a signature and return its outputs, which fit their specs."""
        answer = self._transport.predict(signature, request)
        try:
            _check_names("the outputs must be", answer, specs)
            return _fitting(answer, specs, batch_size)
        except (TypeError, ValueError) as error:
            found = str(error).removeprefix("Argument ")  # here it is an output
            problem = f"invalid answer of `{signature}`: {found}"
            raise ServerError(self._transport.server, problem) from error


def _check_timeout(timeout: Any) -> None:
    """Raise an error unless a timeout is a positive number."""
    is_real = isinstance(timeout, numbers.Real) and not isinstance(timeout, bool)
    if not is_real or not timeout > 0:
        raise ValueError(
            "Argument `timeout` must be a positive number of seconds. "
            f"Received: timeout={timeout!r}"
        )


def _check_names(rule: str, names: Iterable[str], expected: Iterable[str]) -> None:
    """Raise an error that begins with a rule, unless names are those expected."""
    found, wanted = set(names), set(expected)
    if found != wanted:
        raise ValueError(
            f"{rule} {sorted(wanted)}. Received: missing {sorted(wanted - found)}, "
            f"unknown {sorted(found - wanted)}"
        )


def _fitting(arrays: Mapping[str, Any], specs: Specs, batch_size: int) -> Arrays:
    """Convert arrays to the dtypes of their specs and check shapes and values."""
    return {
        name: fitting(
            name, arrays[name], spec["dtype"], [batch_size, *spec["shape"][1:]]
        )
        for name, spec in specs.items()
    }
