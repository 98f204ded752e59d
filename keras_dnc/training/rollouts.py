"""Episodes that a recurrent policy plays in a vector environment."""

from typing import Any, NamedTuple

import keras
import numpy as np

from keras_dnc.arguments import natural_number
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import probability
from keras_dnc.arguments import random_seed
from keras_dnc.training.callbacks import check_attributes
from keras_dnc.training.policy_gradient import advantages

_EPSILON = 1e-6  # keeps advantages finite if all are equal


class Actor:
    """A recurrent policy that takes one step at a time, and carries its states.

    Args:
        model: `ActorCritic`.
        num_envs: Number of environments.
        observation_size: Number of channels of an observation.

    Raises:
        ValueError: `model` has no layers and heads, or a size is not a positive
            integer.
    """

    def __init__(
        self, model: keras.Model, num_envs: int, observation_size: int
    ) -> None:
        check_attributes(
            "model", model, "an `ActorCritic`", ("recurrent", "policy_and_value")
        )
        self.num_envs = positive_integer("num_envs", num_envs)
        size = positive_integer("observation_size", observation_size)
        step = keras.Input((1, size), batch_size=num_envs)
        states = [
            [keras.Input((size,), batch_size=num_envs) for size in _state_sizes(layer)]
            for layer in model.recurrent
        ]
        outputs, after = step, []
        for layer, before in zip(model.recurrent, states, strict=True):
            outputs, *new = layer(outputs, initial_state=before)
            after += new
        inputs = [step, *sum(states, [])]
        self._step = keras.Model(inputs, [model.policy_and_value(outputs), *after])
        self._step.compile(jit_compile=model.jit_compile)
        self._sizes = [state.shape[1] for state in inputs[1:]]
        self.reset()

    def reset(self) -> None:
        """Set all states to their initial values."""
        self._states: list[Any] = [
            np.zeros((self.num_envs, size), "float32") for size in self._sizes
        ]

    def step(self, observations: np.ndarray) -> np.ndarray:
        """Take one step.

        Args:
            observations: `(num_envs, observation_size)`.

        Returns:
            `(num_envs, num_actions + 1)`: logits of the policy, and the value.
        """
        inputs = [observations[:, None], *self._states]
        outputs, *self._states = self._step.predict_on_batch(inputs)
        return np.asarray(outputs)[:, 0]


class Rollout(NamedTuple):
    """Whole episodes of a vector environment, for one update.

    Attributes:
        observations: `(num_envs, time, observation_size)`, float32, zeros after the end
            of an episode.
        targets: `(num_envs, time, num_actions + 2)`, float32, for `ActorCriticLoss`.
        scores: Dict from names to numbers: `reward`, the mean sum of the rewards, and
            what `env.scores()` returns, if the environment has this method.
    """

    observations: np.ndarray
    targets: np.ndarray
    scores: dict[str, float]


class Rollouts:
    """Episodes that a policy plays in a vector environment, for `ActorCritic.fit`.

    All environments begin an episode together, and one that has ended waits for the
    others. Actions count at steps where `infos["acting"]` is true, or at every step if
    the environment does not tell. An episode that is truncated counts as ended.

    Args:
        env: `gymnasium.vector.VectorEnv` of discrete actions, whose autoreset mode is
            `DISABLED`, with an attribute `max_time`, the number of steps of the longest
            episode, such as `keras_dnc.tasks.shrdlu.ShrdluVectorEnv`.
        steps: Number of rollouts, and of updates, in an epoch.
        discount: Weight of a reward one step later, in [0, 1]. Defaults to 0.95.
        trace: Weight of later errors of the values in an advantage, lambda, in [0, 1].
            Defaults to 0.95.
        imitation_epochs: Number of epochs in which the policy is trained to act as
            `env.optimal_actions()` would in the situations that its own actions lead
            to. Defaults to 0.
        seed: Seed of episodes and actions, an integer from 0 to 2^32 - 1. Together with
            the epoch and the index of a rollout it determines them. Defaults to 0.

    Attributes:
        epoch: Index of the epoch, from 0.

    Raises:
        ValueError: `env` is not an environment of this kind, `steps` is not a positive
            integer, or a number is out of range.

    Example:
        >>> from keras_dnc.tasks.shrdlu import ShrdluVectorEnv
        >>> env = ShrdluVectorEnv(num_envs=4, autoreset_mode="Disabled")
        >>> rollouts = Rollouts(env, steps=10)
        >>> import keras_dnc
        >>> model = keras_dnc.ActorCritic(
        ...     [keras.layers.LSTM(8, return_sequences=True, return_state=True)],
        ...     env.num_actions,
        ... )
        >>> rollout = rollouts.play(model, index=0)
        >>> rollout.observations.shape, rollout.targets.shape
        ((4, 14, 64), (4, 14, 8))
    """

    def __init__(
        self,
        env: Any,
        steps: int,
        discount: float = 0.95,
        trace: float = 0.95,
        imitation_epochs: int = 0,
        seed: int = 0,
    ) -> None:
        needed = ("num_envs", "single_observation_space", "max_time", "step", "reset")
        check_attributes("env", env, "a vector environment", needed)
        mode = getattr(env, "metadata", {}).get("autoreset_mode")
        if getattr(mode, "value", mode) != "Disabled":
            raise ValueError(
                "Argument `env` must be a vector environment with the autoreset mode "
                f"`DISABLED`. Received: {mode}"
            )
        self.env = env
        self.steps = positive_integer("steps", steps)
        self.discount = probability("discount", discount, includes_one=True)
        self.trace = probability("trace", trace, includes_one=True)
        self.imitation_epochs = natural_number("imitation_epochs", imitation_epochs)
        if imitation_epochs:
            expert = ("optimal_actions",)
            check_attributes("env", env, "an environment with a solver", expert)
        self.seed = random_seed("seed", seed)
        self.epoch = 0
        self._actor: tuple[Any, Any] = (None, None)

    def __len__(self) -> int:
        return self.steps

    def play(self, model: keras.Model, index: int, greedy: bool = False) -> Rollout:
        """Play one episode in every environment.

        Args:
            model: `ActorCritic`.
            index: Index of the rollout in the epoch.
            greedy: Whether to take the most probable actions, and not to draw them.
                Defaults to `False`.

        Returns:
            `Rollout`, of `env.max_time` steps.
        """
        rng = np.random.default_rng([self.seed, self.epoch, index])
        steps = self._played(self._actor_of(model), rng, greedy)
        missing = self.env.max_time - len(steps[0])
        observations, outputs, weights, rewards, scored = (
            _in_time(entries, missing) for entries in steps
        )
        targets = self._targets(weights, rewards, outputs[..., -1], scored)
        scores: dict[str, float] = getattr(self.env, "scores", dict)()
        reward = float(np.sum(steps[3]) / self.env.num_envs)
        scores = {"reward": reward, **scores}
        return Rollout(observations.astype("float32"), targets, scores)

    def _actor_of(self, model: keras.Model) -> Actor:
        """Return the actor of a model, made once."""
        if self._actor[0] is not model:
            size = self.env.single_observation_space.shape[0]
            self._actor = model, Actor(model, self.env.num_envs, size)
        return self._actor[1]

    def _played(
        self, actor: Actor, rng: np.random.Generator, greedy: bool
    ) -> tuple[list[np.ndarray], ...]:
        """Play until all episodes have ended.

        Returns:
            Lists of one entry per step: observations, outputs of the network, weights
            of the actions, rewards, and where actions count.
        """
        steps: tuple[list[np.ndarray], ...] = ([], [], [], [], [])
        observed, infos = self.env.reset(seed=int(rng.integers(2**31)))
        over = np.zeros(self.env.num_envs, bool)
        actor.reset()
        for _ in range(self.env.max_time):
            outputs = actor.step(observed)
            actions = _chosen(outputs[:, :-1], rng, greedy)
            weights = self._weights(actions, outputs.shape[1] - 1)
            scored = ~over & infos.get("acting", True)
            after, rewards, terminated, truncated, infos = self.env.step(actions)
            row = (observed * ~over[:, None], outputs, weights, rewards * ~over, scored)
            for listed, entry in zip(steps, row, strict=True):
                listed.append(entry)
            observed, over = after, over | terminated | truncated
            if over.all():
                break
        return steps

    def _weights(self, actions: np.ndarray, num_actions: int) -> np.ndarray:
        """Return the actions to be learned: those of the expert, or those taken."""
        if self.epoch < self.imitation_epochs:
            return self.env.optimal_actions()
        return np.eye(num_actions)[actions]

    def _targets(
        self,
        weights: np.ndarray,
        rewards: np.ndarray,
        values: np.ndarray,
        scored: np.ndarray,
    ) -> np.ndarray:
        """Return the targets of `ActorCriticLoss`, with normalized advantages."""
        found = advantages(rewards, values, scored, self.discount, self.trace)
        returns = (values + found) * scored
        if self.epoch >= self.imitation_epochs:
            of_actions = found[scored]
            spread = of_actions.std() + _EPSILON
            weights = weights * ((found - of_actions.mean()) / spread)[..., None]
        parts = [weights * scored[..., None], returns[..., None], scored[..., None]]
        return np.concatenate(parts, axis=-1).astype("float32")


def _state_sizes(layer: keras.Layer) -> list[int]:
    """Return the sizes of the states of a recurrent layer."""
    sizes = layer.state_size
    return [sizes] if isinstance(sizes, int) else list(sizes)


def _chosen(logits: np.ndarray, rng: np.random.Generator, greedy: bool) -> np.ndarray:
    """Return actions, drawn from a policy by the Gumbel trick, or the best ones."""
    noise = 0.0 if greedy else rng.gumbel(size=logits.shape)
    return np.argmax(logits + noise, axis=1)


def _in_time(entries: list[np.ndarray], missing: int) -> np.ndarray:
    """Stack the entries of steps to `(batch, time, ...)`, and append zeros."""
    stacked = np.stack(entries, axis=1)
    padding = [(0, 0), (0, missing)] + [(0, 0)] * (stacked.ndim - 2)
    return np.pad(stacked, padding)
