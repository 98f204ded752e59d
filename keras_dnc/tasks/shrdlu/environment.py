"""Mini-SHRDLU on one board, as a `gymnasium.Env`."""

from typing import Any

import gymnasium
import numpy as np

from keras_dnc.tasks.levels import Levels
from keras_dnc.tasks.shrdlu.task import ShrdluTask
from keras_dnc.tasks.shrdlu.vector import DRAWINGS
from keras_dnc.tasks.shrdlu.vector import ShrdluVectorEnv


class ShrdluEnv(gymnasium.Env):
    """Mini-SHRDLU on one board.

    Observations, actions, rewards and `info` are those of `ShrdluVectorEnv`, of one
    board. `gymnasium.make("keras_dnc/Shrdlu-v0", task=task)` makes it, too.

    Args:
        task: `ShrdluTask`, or `keras_dnc.tasks.levels.Levels` of such tasks. Defaults
            to `None`, for `ShrdluTask()`.
        move_cost: Reward that each move costs. In [0, 1). Defaults to 0.02.
        render_mode: `"ansi"` for text, `"rgb_array"` for pictures, or `None`. Defaults
            to `None`.

    Raises:
        ValueError: `task` is not a task of this kind, `move_cost` is outside [0, 1), or
            `render_mode` is unknown.

    Example:
        >>> task = ShrdluTask()
        >>> env = ShrdluEnv(task, render_mode="ansi")
        >>> puzzles = task.puzzle([[1, 2], [3]], {"T": [(3, "above", 2)]}, asked="T")
        >>> observation, info = env.reset(options={"puzzles": puzzles})
        >>> observation, *_ = env.step(0)  # reads the goal
        >>> observation, reward, terminated, *_ = env.step(task.actions.index((1, 0)))
        >>> reward, terminated
        (0.98, True)
        >>> print(env.render())
        > T: 3 above 2*
        3 . .
        2 . .
        1 . .

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, "Block puzzle experiments".
    """

    metadata = {"render_modes": list(DRAWINGS), "render_fps": 2}

    def __init__(
        self,
        task: ShrdluTask | Levels | None = None,
        move_cost: float = 0.02,
        render_mode: str | None = None,
    ) -> None:
        self._boards = ShrdluVectorEnv(task, 1, move_cost, "Disabled", render_mode)
        self.task, self.move_cost = self._boards.task, self._boards.move_cost
        self.render_mode = render_mode
        self.observation_space = self._boards.single_observation_space
        self.action_space = self._boards.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin a new episode.

        Args:
            seed: Seed of the episodes. Defaults to `None`, to keep the current random
                state.
            options: Dict with `"puzzles"`, `Puzzles` of one puzzle. Defaults to `None`,
                for a new puzzle.

        Returns:
            Observation, `(observation_size,)`, float32, and `info`.

        Raises:
            ValueError: There is more than one puzzle.
        """
        super().reset(seed=seed)
        self._boards.np_random = self.np_random
        observations, infos = self._boards.reset(options=options)
        return observations[0], _first(infos)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step.

        Args:
            action: Index of `task.actions`.

        Returns:
            Observation, `(observation_size,)`, float32, reward, `terminated`,
            `truncated` and `info`.

        Raises:
            ValueError: The action is unknown.
        """
        step = self._boards.step(np.array([action]))
        observations, rewards, terminated, truncated, infos = step
        ended = bool(terminated[0]), bool(truncated[0])
        return observations[0], float(rewards[0]), *ended, _first(infos)

    def render(self) -> Any:
        """Draw the board.

        Returns:
            Text, or a picture, `(height, width, 3)`, uint8, or `None` if there is no
            `render_mode`.
        """
        frames = self._boards.render()
        return None if frames is None else frames[0]


def _first(infos: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the information about the first board."""
    return {name: values[0].item() for name, values in infos.items()}


gymnasium.register(
    "keras_dnc/Shrdlu-v0",
    entry_point="keras_dnc.tasks.shrdlu:ShrdluEnv",
    vector_entry_point="keras_dnc.tasks.shrdlu:ShrdluVectorEnv",
)
