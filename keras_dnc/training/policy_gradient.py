"""The loss of advantage actor-critic, and the advantages it weights actions by."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dnc.arguments import finite_number
from keras_dnc.training.losses import global_batch_size
from keras_dnc.typing import DType, Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
class ActorCriticLoss(keras.losses.Loss):
    """Policy gradient, squared error of values and entropy bonus, in one loss.

    ```
    loss = - sum_a A_a log pi(a) - entropy H(pi) + value (V - R)^2
    ```

    summed over the steps of an episode that are scored, mean over the batch. `A_a` is
    the advantage of the action taken and 0 for others; with the probabilities of an
    expert in its place the first term is the cross-entropy of imitation learning.

    Args:
        entropy: Weight of the entropy of the policy, at least 0. Next to the advantages
            of `Rollouts`, whose spread is 1, weights of 0.1 to 0.25 keep a policy from
            settling on one action too early. Defaults to 0.01.
        value: Weight of the squared error of values, at least 0. Defaults to 0.5.
        name: Name of the loss. Defaults to `"actor_critic_loss"`.
        dtype: Dtype of the computation. Defaults to `None`, for Keras's default.

    Call arguments:
        y_true: `(batch, time, num_actions + 2)`: `A_a` of each action, the return `R`,
            and 1 at steps that are scored, else 0.
        y_pred: `(batch, time, num_actions + 1)`: logits of the policy, and the value.

    Returns:
        A scalar.

    Raises:
        ValueError: `entropy` or `value` is not a finite number of at least 0.

    Example:
        >>> loss = ActorCriticLoss(entropy=0.0)
        >>> taken = [[[1.0, 0.0, 3.0, 1.0]]]  # the first of two actions; return 3
        >>> float(loss(taken, np.zeros((1, 1, 3))))  # log 2 + 0.5 * 3^2
        5.19...

    References:
        - Williams 1992, Simple statistical gradient-following algorithms for
          connectionist reinforcement learning, Machine Learning 8.
        - Mnih et al. 2016, Asynchronous methods for deep reinforcement learning, ICML.
    """

    def __init__(
        self,
        entropy: float = 0.01,
        value: float = 0.5,
        name: str = "actor_critic_loss",
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, reduction="sum", dtype=dtype)
        self.entropy = _not_negative("entropy", entropy)
        self.value = _not_negative("value", value)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Compute the loss of each step, to be summed by Keras.

        Args:
            y_true: `(batch, time, num_actions + 2)`.
            y_pred: `(batch, time, num_actions + 1)`.

        Returns:
            `(batch, time)`, divided by the batch size of all replicas.
        """
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = ops.cast(y_true, y_pred.dtype)
        weights, returns, scored = y_true[..., :-2], y_true[..., -2], y_true[..., -1]
        log_policy = ops.log_softmax(y_pred[..., :-1], axis=-1)  # log pi(a)
        entropy = -ops.sum(ops.exp(log_policy) * log_policy, axis=-1)  # H
        policy_cost = -ops.sum(weights * log_policy, axis=-1)
        value_cost = ops.square(y_pred[..., -1] - returns)
        cost = policy_cost - self.entropy * entropy + self.value * value_cost
        return scored * cost / global_batch_size(y_pred)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = super().get_config()
        config.pop("reduction")
        return {**config, "entropy": self.entropy, "value": self.value}


def advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    scored: np.ndarray,
    discount: float,
    trace: float = 1.0,
) -> np.ndarray:
    """Compute generalized advantage estimates of whole episodes.

    The value after the last scored step of an episode is 0.

    Args:
        rewards: `(batch, time)`, the reward of each action.
        values: `(batch, time)`, the value of each observation, an estimate of the
            discounted sum of the rewards from it on.
        scored: `(batch, time)`, bool, steps at which actions count; one run of steps in
            each episode.
        discount: Weight of a reward one step later, in [0, 1].
        trace: Weight of later errors of the values, lambda, in [0, 1]. With 1, the
            advantage is the return less the value. Defaults to 1.

    Returns:
        `(batch, time)`; returns are `values` plus these. Zeros at steps not scored.

    Example:
        >>> rewards, scored = np.array([[0.0, 0.0, 1.0]]), np.ones((1, 3), bool)
        >>> advantages(rewards, np.zeros((1, 3)), scored, discount=0.5).tolist()
        [[0.25, 0.5, 1.0]]

    References:
        - Schulman et al. 2016, High-dimensional continuous control using generalized
          advantage estimation, ICLR.
    """
    found = np.zeros(rewards.shape)
    later = value_after = np.zeros(len(rewards))
    for step in reversed(range(rewards.shape[1])):
        error = rewards[:, step] + discount * value_after - values[:, step]
        later = np.where(scored[:, step], error + discount * trace * later, 0.0)
        value_after = np.where(scored[:, step], values[:, step], 0.0)
        found[:, step] = later
    return found


def _not_negative(name: str, value: Any) -> float:
    """Return a finite number of at least 0 as a `float`."""
    if finite_number(name, value) < 0.0:
        raise ValueError(
            f"Argument `{name}` must be at least 0. Received: {name}={value!r}"
        )
    return float(value)
