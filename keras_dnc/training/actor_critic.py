"""ActorCritic: a recurrent policy with a value, trained by acting."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_dnc.arguments import positive_integer
from keras_dnc.training.rollouts import Rollouts
from keras_dnc.typing import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
class ActorCritic(keras.Model):
    """A recurrent network with a policy and a value, trained by acting.

    Each update plays whole episodes with the current weights, and then follows the
    gradient of `ActorCriticLoss` through them, on any backend. `fit_or_resume` trains
    it, too, so that a run that was killed goes on; call `build` before, so that the
    weights of a run that has ended can be loaded.

    Policy and value are outputs of one network. Graves et al. (2016) train a second
    network for the value, at twice the cost.

    Args:
        recurrent: List of recurrent layers, such as `keras_dnc.MemoryRNN` or
            `keras.layers.LSTM`, with `return_sequences=True, return_state=True`. Each
            takes the outputs of the one before.
        num_actions: Number of actions.
        hidden_units: Numbers of rectified linear units of the layers between the
            recurrent layers and the policy and value. Defaults to `()`.
        **kwargs: Keyword arguments of `keras.Model`: `name`, `trainable` and `dtype`,
            the policy of all layers but the recurrent ones.

    Call arguments:
        observations: `(batch, time, observation_size)`.

    Returns:
        `(batch, time, num_actions + 1)`: logits of the policy, and the value.

    Raises:
        ValueError: `recurrent` is not a list of such layers, `hidden_units` is not a
            sequence, or a size is not a positive integer.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.tasks.shrdlu import ShrdluVectorEnv
        >>> env = ShrdluVectorEnv(num_envs=4, autoreset_mode="Disabled")
        >>> lstm = keras.layers.LSTM(8, return_sequences=True, return_state=True)
        >>> model = ActorCritic([lstm], env.num_actions)
        >>> model.compile("adam", keras_dnc.ActorCriticLoss())
        >>> history = model.fit(keras_dnc.Rollouts(env, steps=2), epochs=1, verbose=0)
        >>> sorted(history.history)
        ['loss', 'met', 'moves_ratio', 'reward', 'solved', 'spl']

    References:
        - Mnih et al. 2016, Asynchronous methods for deep reinforcement learning, ICML.
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, Methods, "Mini-SHRDLU".
    """

    def __init__(
        self,
        recurrent: Sequence[keras.Layer],
        num_actions: int,
        hidden_units: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.recurrent = _checked_layers(recurrent)
        self.num_actions = positive_integer("num_actions", num_actions)
        self.hidden_units = _checked_units(hidden_units)
        dtype = self.dtype_policy
        self.heads = [
            *(keras.layers.Dense(n, "relu", dtype=dtype) for n in self.hidden_units),
            keras.layers.Dense(num_actions + 1, dtype=dtype, name="policy_and_value"),
        ]

    def build(self, observations_shape: Shape) -> None:
        """Create the variables of all layers.

        Args:
            observations_shape: `(batch, time, observation_size)`; the first two may be
                `None`.
        """
        self.call(keras.Input((None, observations_shape[-1])))
        self.built = True

    def call(self, observations: Tensor) -> Tensor:
        """Compute policy and value at every step.

        Args:
            observations: `(batch, time, observation_size)`.

        Returns:
            `(batch, time, num_actions + 1)`.
        """
        outputs = observations
        for layer in self.recurrent:
            outputs, *_ = layer(outputs)
        return self.policy_and_value(outputs)

    def policy_and_value(self, outputs: Tensor) -> Tensor:
        """Compute policy and value from the outputs of the last recurrent layer.

        Args:
            outputs: `(batch, time, features)`.

        Returns:
            `(batch, time, num_actions + 1)`.
        """
        for layer in self.heads:
            outputs = layer(outputs)
        return outputs

    def fit(
        self,
        rollouts: Rollouts,
        epochs: int = 1,
        initial_epoch: int = 0,
        callbacks: Iterable[keras.callbacks.Callback] = (),
        validation_data: Rollouts | None = None,
        verbose: int | str = "auto",
    ) -> keras.callbacks.History:
        """Train on episodes that the network plays itself.

        Args:
            rollouts: `Rollouts` to train on.
            epochs: Index of the epoch at which training ends. Defaults to 1.
            initial_epoch: Index of the first epoch. Defaults to 0.
            callbacks: Keras callbacks. Defaults to `()`.
            validation_data: `Rollouts` that are played with the most probable actions
                after each epoch; the same episodes each time. Defaults to `None`.
            verbose: 0 for no progress bar, 1 for one, 2 for a line per epoch. Defaults
                to `"auto"`, for 1.

        Returns:
            `keras.callbacks.History` of `loss` and the scores of the rollouts, `level`
            if there are levels, and `val_` before those of `validation_data`.
        """
        verbose = 1 if verbose == "auto" else verbose
        self._create_variables(rollouts)
        listed = keras.callbacks.CallbackList(
            list(callbacks),
            add_history=True,
            add_progbar=verbose != 0,
            model=self,
            epochs=epochs,
            steps=len(rollouts),
            verbose=verbose,
        )
        self.stop_training = False
        listed.on_train_begin()
        for epoch in range(initial_epoch, epochs):
            rollouts.epoch = epoch
            listed.on_epoch_begin(epoch)
            logs = self._train_epoch(rollouts, listed)
            if validation_data is not None:
                scores = self.evaluate(validation_data)
                logs |= {f"val_{name}": score for name, score in scores.items()}
            listed.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        listed.on_train_end(logs if epochs > initial_epoch else None)
        return self.history

    def _create_variables(self, rollouts: Rollouts) -> None:
        """Build model and optimizer, whose variables a callback may restore."""
        if not self.built:
            size = rollouts.env.single_observation_space.shape[0]
            self.build((None, None, size))
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def _train_epoch(
        self, rollouts: Rollouts, callbacks: keras.callbacks.CallbackList
    ) -> dict[str, float]:
        """Make the updates of an epoch, and return the means of their logs."""
        self.reset_metrics()
        scores: list[dict[str, float]] = []
        logs: dict[str, float] = {}
        for index in range(len(rollouts)):
            callbacks.on_train_batch_begin(index)
            observations, targets, score = rollouts.play(self, index)
            logs = self.train_on_batch(observations, targets, return_dict=True)
            scores.append(score)
            logs = {"loss": float(logs["loss"]), **_means(scores)}
            callbacks.on_train_batch_end(index, logs)
        return logs

    def evaluate(self, rollouts: Rollouts) -> dict[str, float]:
        """Play episodes with the most probable actions.

        Args:
            rollouts: `Rollouts`; those of its current epoch are played.

        Returns:
            Dict of the mean scores of all its rollouts.
        """
        plays = [
            rollouts.play(self, index, greedy=True) for index in range(len(rollouts))
        ]
        return _means([play.scores for play in plays])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        layers = [keras.saving.serialize_keras_object(one) for one in self.recurrent]
        return {
            **super().get_config(),
            "recurrent": layers,
            "num_actions": self.num_actions,
            "hidden_units": self.hidden_units,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ActorCritic":
        """Return a model from the dict that `get_config` returned."""
        layers = [
            keras.saving.deserialize_keras_object(one) for one in config["recurrent"]
        ]
        return cls(**{**config, "recurrent": layers})


def _checked_layers(layers: Any) -> list[keras.Layer]:
    """Return recurrent layers as a list, or raise a `ValueError`."""
    is_list = isinstance(layers, Sequence) and len(layers) > 0
    flags = ("return_sequences", "return_state")
    if not is_list or not all(
        getattr(layer, flag, False) for layer in layers for flag in flags
    ):
        raise ValueError(
            "Argument `recurrent` must be a list of recurrent layers with "
            f"return_sequences=True and return_state=True. Received: {layers!r}"
        )
    return list(layers)


def _checked_units(units: Any) -> list[int]:
    """Return sizes of layers as a list, or raise a `ValueError`."""
    if not isinstance(units, Sequence):
        raise ValueError(
            "Argument `hidden_units` must be a sequence of positive integers, such as "
            f"(256, 256). Received: hidden_units={units!r}"
        )
    return [positive_integer("hidden_units", number) for number in units]


def _means(scores: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each score, but for NaN; NaN if there is nothing else."""
    listed = {name: [score[name] for score in scores] for name in scores[0]}
    known = {name: np.array(all_)[~np.isnan(all_)] for name, all_ in listed.items()}
    return {n: float(all_.mean()) if all_.size else np.nan for n, all_ in known.items()}
