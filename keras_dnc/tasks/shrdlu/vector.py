"""Mini-SHRDLU on many boards at once, as a `gymnasium.vector.VectorEnv` in NumPy."""

import dataclasses
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from keras_dnc.arguments import check_choice
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import probability
from keras_dnc.tasks.levels import Levels
from keras_dnc.tasks.shrdlu.drawing import to_picture
from keras_dnc.tasks.shrdlu.drawing import to_text
from keras_dnc.tasks.shrdlu.puzzles import NOTHING
from keras_dnc.tasks.shrdlu.puzzles import Puzzles
from keras_dnc.tasks.shrdlu.task import ShrdluTask

DRAWINGS = {"ansi": to_text, "rgb_array": to_picture}
_AUTORESET = {"NextStep": AutoresetMode.NEXT_STEP, "Disabled": AutoresetMode.DISABLED}


class ShrdluVectorEnv(gymnasium.vector.VectorEnv):
    """Mini-SHRDLU on many boards at once.

    While the goals are read, actions are ignored and rewards are 0. The reward of a
    move is the change in the fraction of constraints met, less `move_cost`, so that the
    return of an episode without discount is the fraction gained less the cost of all
    moves. An episode terminates when the goal is met, and is truncated after
    `task.move_limit` moves. An impossible move leaves the board as it is, and counts.

    The reward is this package's own. Under it, the optimal policy is still the one that
    takes the fewest moves.

    `infos` holds arrays `(num_envs,)`: `acting`, whether the next action moves a block;
    `met`, the fraction of constraints met; `moves`, the number of moves made; and
    `optimal_moves`, that of a shortest solution from the first position.

    Args:
        task: `ShrdluTask`, or `keras_dnc.tasks.levels.Levels` of such tasks, whose
            current level is used for episodes that begin. Defaults to `None`, for
            `ShrdluTask()`.
        num_envs: Number of boards. Defaults to 1.
        move_cost: Reward that each move costs. In [0, 1). Defaults to 0.02.
        autoreset_mode: `"NextStep"`, so that a board whose episode has ended begins a
            new one at its next step, or `"Disabled"`, so that it stays as it is until
            `reset`. Defaults to `"NextStep"`.
        render_mode: `"ansi"` for text, `"rgb_array"` for pictures, or `None`. Defaults
            to `None`.

    Attributes:
        num_actions: Number of actions.
        puzzles: List of one `Puzzles` for each board, of one puzzle each; `None` before
            the first `reset`.

    Raises:
        ValueError: `task` is not a task of this kind, `num_envs` is not a positive
            integer, `move_cost` is outside [0, 1), or a mode is unknown.

    Example:
        >>> envs = ShrdluVectorEnv(ShrdluTask(num_letters=4), num_envs=5)
        >>> observations, infos = envs.reset(seed=0)
        >>> observations.shape, infos["acting"].tolist()
        ((5, 42), [False, False, False, False, False])
        >>> step = envs.step(np.zeros(5, int))
        >>> observations, rewards, terminated, truncated, infos = step
        >>> rewards.tolist()  # the goals are still being read
        [0.0, 0.0, 0.0, 0.0, 0.0]

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, "Block puzzle experiments".
        - Anderson et al. 2018, On evaluation of embodied navigation agents, for `spl`.
    """

    def __init__(
        self,
        task: ShrdluTask | Levels | None = None,
        num_envs: int = 1,
        move_cost: float = 0.02,
        autoreset_mode: str = "NextStep",
        render_mode: str | None = None,
    ) -> None:
        self.task = ShrdluTask() if task is None else task
        self._tables = _Tables(_tasks_of(self.task))
        self.num_envs = positive_integer("num_envs", num_envs)
        self.move_cost = probability("move_cost", move_cost)
        check_choice("autoreset_mode", autoreset_mode, _AUTORESET)
        check_choice("render_mode", render_mode, (None, *DRAWINGS))
        self.autoreset_mode, self.render_mode = autoreset_mode, render_mode
        self.metadata = {
            "render_modes": list(DRAWINGS),
            "render_fps": 2,
            "autoreset_mode": _AUTORESET[autoreset_mode],
        }
        self._set_spaces(self._tables.tasks[0])
        self._state = self._tables.empty_state(self.num_envs)
        self.puzzles: list[Any] = [None] * self.num_envs
        self._task_of: list[ShrdluTask] = [self._tables.tasks[0]] * self.num_envs

    def _set_spaces(self, task: ShrdluTask) -> None:
        """Set the spaces of observations and actions."""
        self.single_observation_space = gymnasium.spaces.Box(
            0.0, 1.0, (task.observation_size,), np.float32
        )
        self.num_actions = task.num_actions
        self.single_action_space = gymnasium.spaces.Discrete(task.num_actions)
        self.observation_space = batch_space(
            self.single_observation_space, self.num_envs
        )
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property
    def max_time(self) -> int:
        """Number of steps of the longest episode of the task, or of its level."""
        return self.task.max_time

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: Seed of the episodes; the same one gives the same episodes. Defaults
                to `None`, to keep the current random state.
            options: Dict with `"reset_mask"`, `(num_envs,)`, bool, the boards to reset,
                or with `"puzzles"`, `Puzzles` of the task or of the current level, one
                for each board. Defaults to `None`, for new puzzles on all boards.

        Returns:
            Observations, `(num_envs, observation_size)`, float32, and `infos`.

        Raises:
            ValueError: The mask or the number of puzzles does not suit the number of
                boards.
        """
        super().reset(seed=seed)
        options = options or {}
        if (puzzles := options.get("puzzles")) is not None:
            self._check_count("puzzles", len(puzzles.positions))
            self._begin(np.arange(self.num_envs), self._task_at_level(), puzzles)
        else:
            mask = np.array(options.get("reset_mask", np.ones(self.num_envs)), bool)
            self._check_count("reset_mask", mask.size)
            mask |= [puzzle is None for puzzle in self.puzzles]
            self._draw(np.flatnonzero(mask))
        return self._observations(), self._infos()

    def _check_count(self, name: str, count: int) -> None:
        """Raise a `ValueError` unless there is one value for each board."""
        if count != self.num_envs:
            raise ValueError(
                f"Option `{name}` must have one entry for each of the {self.num_envs} "
                f"boards. Received: {count}"
            )

    def _task_at_level(self) -> ShrdluTask:
        """Return the task, or that of the current level."""
        level = self.task.level if isinstance(self.task, Levels) else 0
        return self._tables.tasks[level]

    def _draw(self, boards: np.ndarray) -> None:
        """Draw new puzzles on boards, sometimes of an earlier level."""
        rng, levels = self.np_random, np.zeros(len(boards), int)
        if isinstance(self.task, Levels):
            levels += self.task.level
            if self.task.level:
                earlier = rng.random(len(boards)) < self.task.earlier
                levels[earlier] = rng.integers(self.task.level, size=earlier.sum())
        for level in np.unique(levels):
            chosen, task = boards[levels == level], self._tables.tasks[level]
            self._begin(chosen, task, task.draw(len(chosen), rng))

    def _begin(self, boards: np.ndarray, task: ShrdluTask, puzzles: Puzzles) -> None:
        """Set the state of boards to the beginning of puzzles."""
        state, count = self._state, len(boards)
        codes, read = task.instructions(puzzles)
        state.codes[boards, : codes.shape[1]] = codes
        goals = puzzles.goals[np.arange(count), puzzles.asked]
        state.goal[boards] = NOTHING
        state.goal[boards, : goals.shape[1]] = goals
        offset = self._tables.offsets[task.world]
        state.place[boards] = puzzles.positions + offset
        state.offset[boards] = offset
        state.read[boards], state.limit[boards] = read, task.move_limit
        for field in (state.time, state.moves, state.terminated, state.truncated):
            field[boards] = 0
        state.met[boards] = self._tables.fraction_met(state, boards)
        for index, board in enumerate(boards):
            one = Puzzles(*(field[index : index + 1] for field in puzzles))
            self.puzzles[board] = one
            distances = task.world.distances(one.goal_asked(0))
            state.optimal[board] = distances[one.positions[0]]
            self._task_of[board] = task

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take one step on every board.

        Args:
            actions: `(num_envs,)`, integers, indices of `task.actions`.

        Returns:
            Observations, `(num_envs, observation_size)`, float32; rewards,
            `(num_envs,)`, float64; `terminated` and `truncated`, `(num_envs,)`, bool;
            and `infos`.

        Raises:
            ValueError: There is not one action for each board, or an action is unknown.
            gymnasium.error.ResetNeeded: No episode has begun.
        """
        if self.puzzles[0] is None:
            raise gymnasium.error.ResetNeeded("Call `reset` before `step`.")
        actions, state = self._checked(actions), self._state
        over = state.terminated | state.truncated
        acts = ~over & (state.time >= state.read)
        moved = self._tables.moves[state.place, actions]
        np.copyto(state.place, moved, where=acts)
        before = state.met.copy()
        state.met[:] = self._tables.fraction_met(state)
        state.time += ~over
        state.moves += acts
        state.terminated |= acts & (state.met == 1.0)
        state.truncated |= acts & ~state.terminated & (state.moves >= state.limit)
        rewards = np.where(acts, state.met - before - self.move_cost, 0.0)
        if self.autoreset_mode == "NextStep" and over.any():
            self._draw(np.flatnonzero(over))
        ended = state.terminated.copy(), state.truncated.copy()
        return self._observations(), rewards, *ended, self._infos()

    def _checked(self, actions: Any) -> np.ndarray:
        """Return actions as an array, or raise a `ValueError`."""
        actions = np.asarray(actions)
        is_valid = actions.shape == (self.num_envs,) and actions.dtype.kind in "iu"
        if not is_valid or actions.min() < 0 or actions.max() >= self.num_actions:
            raise ValueError(
                f"Argument `actions` must be {self.num_envs} integers from 0 to "
                f"{self.num_actions - 1}. Received: actions={actions!r}"
            )
        return actions

    def _observations(self) -> np.ndarray:
        """Return what is seen on each board."""
        state = self._state
        step = np.minimum(state.time, state.read)
        instructions = state.codes[np.arange(self.num_envs), step]
        return np.concatenate(
            [self._tables.board_codes[state.place], instructions], axis=1
        )

    def _infos(self) -> dict[str, np.ndarray]:
        """Return what is known of each board besides the observation."""
        state = self._state
        over = state.terminated | state.truncated
        return {
            "acting": ~over & (state.time >= state.read),
            "met": state.met.copy(),
            "moves": state.moves.copy(),
            "optimal_moves": state.optimal.copy(),
        }

    def optimal_actions(self) -> np.ndarray:
        """Return the actions that begin a shortest solution, for imitation learning.

        Returns:
            `(num_envs, num_actions)`, float32, evenly spread over these actions, with
            the sum 1; zeros where the next action does not move a block.
        """
        spread = np.zeros((self.num_envs, self.num_actions), "float32")
        for board in np.flatnonzero(self._infos()["acting"]).tolist():
            task, position = self._task_of[board], self._position(board)
            goal = self.puzzles[board].goal_asked(0)
            spread[board] = task.optimal_actions(position, goal)
        return spread

    def _position(self, board: int) -> int:
        """Return the position of a board, an index in the boards of its task."""
        return int(self._state.place[board] - self._state.offset[board])

    def scores(self) -> dict[str, float]:
        """Return how the current episodes have gone.

        Returns:
            Dict of `met`, the mean fraction of constraints met; `solved`, the fraction
            of boards whose goal is met; `moves_ratio`, moves made divided by the
            optimal number, over the boards whose goal is met, NaN if there are none;
            and `spl`, success weighted by path length: the mean of the optimal number
            divided by the moves made, 0 for boards whose goal is not met.
        """
        state = self._state
        solved, optimal, made = state.terminated, state.optimal, state.moves
        most = optimal[solved].sum()
        ratio = made[solved].sum() / most if most else np.nan
        weighted = np.mean(solved * optimal / np.maximum(1, made))
        means = {"met": state.met.mean(), "solved": solved.mean()}
        means |= {"moves_ratio": ratio, "spl": weighted}
        return {name: float(mean) for name, mean in means.items()}

    def render(self) -> tuple[Any, ...] | None:
        """Draw every board.

        Returns:
            Tuple of texts or of pictures, `(height, width, 3)`, uint8, or `None` if
            there is no `render_mode`.
        """
        if self.render_mode is None:
            return None
        draw = DRAWINGS[self.render_mode]
        return tuple(
            draw(self._task_of[board], puzzle, 0, self._position(board))
            for board, puzzle in enumerate(self.puzzles)
        )


@dataclasses.dataclass
class _State:
    """State of each board, changed in place.

    Attributes:
        place: `(num_envs,)`, int, the position, an index in the joint tables.
        offset: `(num_envs,)`, int, where the positions of its task begin there.
        codes: `(num_envs, steps, instruction_size)`, float32, what is read.
        read: `(num_envs,)`, int, the number of constraints to read.
        goal: `(num_envs, max_constraints)`, int, numbers of the constraints asked.
        time: `(num_envs,)`, int, steps taken.
        moves: `(num_envs,)`, int, moves made.
        limit: `(num_envs,)`, int, moves after which the episode ends.
        optimal: `(num_envs,)`, int, moves of a shortest solution.
        met: `(num_envs,)`, float, the fraction of constraints met.
        terminated: `(num_envs,)`, bool, whether the goal is met.
        truncated: `(num_envs,)`, bool, whether the moves are used up.
    """

    place: np.ndarray
    offset: np.ndarray
    codes: np.ndarray
    read: np.ndarray
    goal: np.ndarray
    time: np.ndarray
    moves: np.ndarray
    limit: np.ndarray
    optimal: np.ndarray
    met: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


_FIELDS = [field.name for field in dataclasses.fields(_State)]


class _Tables:
    """The positions of several tasks in joint tables, so that one look-up serves all.

    Args:
        tasks: List of `ShrdluTask`s with equal channels.
    """

    def __init__(self, tasks: list[ShrdluTask]) -> None:
        self.tasks = tasks
        worlds = {task.world: task for task in tasks}
        sizes = [len(world.boards) for world in worlds]
        starts = np.cumsum([0, *sizes])[:-1].tolist()
        self.offsets = dict(zip(worlds, starts, strict=True))
        self.board_codes = np.concatenate([one.board_codes for one in worlds.values()])
        self.moves = np.concatenate(
            [one.moves + self.offsets[world] for world, one in worlds.items()]
        )
        widest = max(world.holds.shape[1] for world in worlds)
        self.holds = np.concatenate(
            [
                np.pad(world.holds, [(0, 0), (0, widest - world.holds.shape[1])])
                for world in worlds
            ]
        )

    def empty_state(self, count: int) -> _State:
        """Return the state of boards on which no episode has begun."""
        most = max(task.max_constraints for task in self.tasks)
        steps = max(task.reading_time for task in self.tasks) + 1
        shapes = {"codes": (steps, self.tasks[0].instruction_size), "goal": (most,)}
        dtypes: dict[str, Any] = {"codes": np.float32, "met": float}
        dtypes |= {"terminated": bool, "truncated": bool}
        return _State(
            **{
                name: np.zeros((count, *shapes.get(name, ())), dtypes.get(name, int))
                for name in _FIELDS
            }
        )

    def fraction_met(self, state: _State, boards: Any = slice(None)) -> np.ndarray:
        """Return the fraction of the constraints asked that are met on boards."""
        goal = state.goal[boards]
        is_there = goal != NOTHING
        met = self.holds[state.place[boards, None], goal] & is_there
        return met.sum(axis=1) / np.maximum(1, is_there.sum(axis=1))


def _tasks_of(task: Any) -> list[ShrdluTask]:
    """Return the tasks of an argument `task`, or raise a `ValueError`."""
    tasks: list[Any] = task.tasks if isinstance(task, Levels) else [task]
    if not all(isinstance(one, ShrdluTask) for one in tasks):
        raise ValueError(
            "Argument `task` must be a `ShrdluTask`, or `Levels` of such tasks. "
            f"Received: {task=}"
        )
    return tasks
