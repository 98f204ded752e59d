"""Mini-SHRDLU as a task: what is read at each step, lessons, the solver's episodes."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from keras_dnc.arguments import check_at_most
from keras_dnc.arguments import positive_integer
from keras_dnc.arguments import positive_integer_or_none
from keras_dnc.tasks.shrdlu.puzzles import NOTHING
from keras_dnc.tasks.shrdlu.puzzles import Puzzles
from keras_dnc.tasks.shrdlu.puzzles import Sizes
from keras_dnc.tasks.shrdlu.puzzles import draw_puzzles
from keras_dnc.tasks.shrdlu.world import RELATIONS
from keras_dnc.tasks.shrdlu.world import Constraint
from keras_dnc.tasks.shrdlu.world import block_world
from keras_dnc.tasks.task import Episode
from keras_dnc.tasks.task import EpisodeBatch
from keras_dnc.tasks.task import Task

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FIRST_BLOCKS = 3  # number of blocks with which lessons begin


class ShrdluTask(Task):
    """Mini-SHRDLU: read several goals by name, then move blocks until one is met.

    The network sees the board at every step. It first reads the goals, one constraint
    at a time with the letter of its goal. Then it reads the letter of one goal, and
    acts: each action moves the top block of one column to the top of another, until all
    constraints of the goal are met or `move_limit` moves are made.

    As a task, it returns episodes in which the solver acts, for supervised learning;
    targets are evenly spread over the actions that begin a shortest solution. As an
    environment, it is run by `ShrdluEnv` and `ShrdluVectorEnv`.

    Channels of an observation, in order:

    - `board_channels^2 * block_channels`: the block in each cell, one-hot, column by
      column from the bottom; zeros in an empty cell.
    - `num_letters`: the letter of the goal that is read, or that is asked.
    - `2 * block_channels + 4`: a constraint: block, relation and block, each one-hot;
      zeros while the network acts.
    - 1: whether the next action moves a block.

    The board of numbered blocks, the moves, goals of adjacency constraints under
    letters, which are read one constraint per step before one is asked, and the
    curriculum are those of Graves et al. (2016).

    Departures:
        The order of the channels is this package's. The letter of the goal asked stays
        visible while the network acts, so that the policy can look it up at any move.
        An episode ends when the goal is met. `ShrdluVectorEnv` defines the reward.

    Args:
        board_size: Number of columns, and of rows. From 2 to 10. Defaults to 3.
        num_blocks: Number of blocks. At least 2. Defaults to 3.
        num_goals: Number of goals that are read. Defaults to 2.
        max_constraints: Greatest number of constraints of a goal; goals of 1 to
            `max_constraints` are drawn. Defaults to 2.
        min_moves: Least number of moves of a shortest solution, for every goal.
            Defaults to 1.
        max_moves: Greatest number of moves of a shortest solution. Defaults to `None`,
            for `move_limit`.
        move_limit: Number of moves after which an episode ends. Defaults to 10.
        num_letters: Number of letters, from which the names of goals are drawn. At most
            26. Defaults to 26.
        board_channels: Size of the largest board that observations and actions can
            represent, so that tasks of several sizes have equal channels. Defaults to
            `None`, for `board_size`.
        block_channels: Greatest number of blocks that observations can represent.
            Defaults to `None`, for `num_blocks`.

    Attributes:
        actions: List of pairs of columns, from and to, counted from 0.
        num_actions: Number of actions.

    Raises:
        ValueError: A size is not a positive integer, the blocks do not fit on the
            board, there are fewer letters than goals, `min_moves` is above `max_moves`
            or `move_limit`, or a number of channels is less than what it represents.

    Example:
        >>> task = ShrdluTask(num_goals=2, num_letters=4)
        >>> task.observation_size, task.num_actions, task.max_time
        (42, 6, 14)
        >>> episode = task.sample(np.random.default_rng(0))
        >>> episode.inputs.shape == (len(episode.mask), 42)
        True

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, "Block puzzle experiments" and Methods, "Mini-SHRDLU".
    """

    metric = "moves that are not optimal an episode"
    answers_bits = False

    def __init__(
        self,
        board_size: int = 3,
        num_blocks: int = 3,
        num_goals: int = 2,
        max_constraints: int = 2,
        min_moves: int = 1,
        max_moves: int | None = None,
        move_limit: int = 10,
        num_letters: int = len(LETTERS),
        board_channels: int | None = None,
        block_channels: int | None = None,
    ) -> None:
        self.num_goals = positive_integer("num_goals", num_goals)
        self.max_constraints = positive_integer("max_constraints", max_constraints)
        self.num_letters = positive_integer("num_letters", num_letters)
        if num_letters > len(LETTERS):
            raise ValueError(
                f"Argument `num_letters` must be at most {len(LETTERS)}. "
                f"Received: num_letters={num_letters}"
            )
        check_at_most("num_goals", num_goals, "num_letters", num_letters)
        self.min_moves = positive_integer("min_moves", min_moves)
        self.max_moves = positive_integer_or_none("max_moves", max_moves)
        self.move_limit = positive_integer("move_limit", move_limit)
        check_at_most("min_moves", min_moves, "move_limit", move_limit)
        if max_moves is not None:
            check_at_most("min_moves", min_moves, "max_moves", max_moves)
        self.world = block_world(board_size, num_blocks)
        self.board_size, self.num_blocks = board_size, num_blocks
        self._set_channels(board_channels, block_channels)

    def _set_channels(
        self, board_channels: int | None, block_channels: int | None
    ) -> None:
        """Set the sizes of observations, actions and episodes."""
        columns = positive_integer_or_none("board_channels", board_channels)
        blocks = positive_integer_or_none("block_channels", block_channels)
        self.board_channels = columns = columns or self.board_size
        self.block_channels = blocks = blocks or self.num_blocks
        check_at_most("board_size", self.board_size, "board_channels", columns)
        check_at_most("num_blocks", self.num_blocks, "block_channels", blocks)
        pairs = ((a, b) for a in range(columns) for b in range(columns) if a != b)
        self.actions = list(pairs)
        self.num_actions = self.target_size = len(self.actions)
        self.instruction_size = self.num_letters + 2 * blocks + len(RELATIONS) + 1
        self.observation_size = columns**2 * blocks + self.instruction_size
        self.reading_time = self.num_goals * self.max_constraints
        self.max_time = self.reading_time + self.move_limit

    @classmethod
    def lessons(cls, **arguments: Any) -> list[Self]:
        """Return tasks of rising difficulty, for `keras_dnc.tasks.levels.Levels`.

        The order of the lessons is this package's: one constraint that one move meets,
        two moves, any number; more constraints; more goals; more blocks.

        Args:
            **arguments: Arguments of the constructor, for the last lesson.

        Returns:
            List of tasks with equal channels, the easiest first.

        Raises:
            ValueError: An argument is not one of the constructor's.

        Example:
            >>> for task in ShrdluTask.lessons():
            ...     print(task.num_goals, task.max_constraints, task.max_moves)
            1 1 1
            1 1 2
            1 1 None
            1 2 None
            2 2 None
        """
        last = cls(**arguments)
        first = min(_FIRST_BLOCKS, last.num_blocks)
        goals, constraints = last.num_goals, last.max_constraints
        sizes: list[tuple[int, int, int, int | None]] = [
            *((first, 1, 1, moves) for moves in (1, 2, None)),
            *((first, 1, n, None) for n in range(2, constraints + 1)),
            *((first, n, constraints, None) for n in range(2, goals + 1)),
            *((n, goals, constraints, None) for n in range(first + 1, last.num_blocks)),
        ]
        if last.num_blocks == first:
            sizes.pop()  # these are the sizes of the last lesson
        names = ["board_size", "move_limit", "num_letters"]
        names += ["board_channels", "block_channels"]
        kept = {name: getattr(last, name) for name in names}
        lessons = [
            cls(
                num_blocks=blocks,
                num_goals=number,
                max_constraints=most,
                max_moves=moves,
                **kept,
            )
            for blocks, number, most, moves in sizes
        ]
        return [*lessons, last]

    def draw(self, count: int, rng: np.random.Generator) -> Puzzles:
        """Draw puzzles.

        Args:
            count: Number of puzzles.
            rng: `numpy.random.Generator`; the same state gives the same puzzles.

        Returns:
            `Puzzles`.

        Raises:
            ValueError: No puzzles of this task are found, because shortest solutions
                between `min_moves` and `max_moves` are too rare.
        """
        longest = min(self.move_limit, self.max_moves or self.move_limit)
        sizes = Sizes(
            self.num_goals,
            self.max_constraints,
            self.num_letters,
            self.min_moves,
            longest,
        )
        return draw_puzzles(self.world, sizes, count, rng)

    def puzzle(
        self,
        board: Sequence[Sequence[int]],
        goals: Mapping[str, Iterable[Constraint]],
        asked: str,
    ) -> Puzzles:
        """Return one puzzle of your own.

        Args:
            board: Blocks of each column, from the bottom.
            goals: Dict from letters to goals, each a list of constraints in the order
                in which they are read: `(3, "below", 5)`.
            asked: Letter of the goal to be met.

        Returns:
            `Puzzles`, of one puzzle.

        Raises:
            ValueError: The board or a constraint has other blocks than the task, there
                are more goals or constraints than the task has, a letter is unknown, or
                the goal asked has no solution.

        Example:
            >>> task = ShrdluTask()
            >>> goals = {"T": [(3, "above", 1), (2, "left of", 1)], "C": []}
            >>> goals["C"] = [(1, "below", 2)]
            >>> puzzle = task.puzzle([[1, 2, 3]], goals, asked="T")
            >>> task.world.solve(puzzle.positions[0], puzzle.goal_asked(0))
            [(0, 2), (0, 1), (2, 1), (0, 2), (1, 2)]
        """
        self._check_goals(goals, asked)
        position = self.world.position_of(board)
        shape = (1, self.num_goals, self.max_constraints)
        numbers = np.full(shape, NOTHING)
        for place, goal in enumerate(goals.values()):
            listed = [self.world.goal([constraint])[0] for constraint in goal]
            numbers[0, place, : len(listed)] = listed
        letters = [LETTERS.index(letter) for letter in goals]
        others = [n for n in range(self.num_letters) if n not in letters]
        letters += others[: self.num_goals - len(letters)]  # of goals never read
        which = np.array([list(goals).index(asked)])
        puzzle = Puzzles(np.array([position]), np.array([letters]), numbers, which)
        self.world.check_solvable(position, self.world.goal(goals[asked]))
        return puzzle

    def _check_goals(self, goals: Any, asked: Any) -> None:
        """Raise a `ValueError` unless goals and their letters suit the task."""
        is_dict = isinstance(goals, Mapping)
        known = set(LETTERS[: self.num_letters])
        if not is_dict or not goals or not set(goals) <= known:
            raise ValueError(
                "Argument `goals` must be a dict from letters up to "
                f"{LETTERS[self.num_letters - 1]} to goals. Received: goals={goals!r}"
            )
        longest = max(len(list(goal)) for goal in goals.values())
        if len(goals) > self.num_goals or longest > self.max_constraints:
            raise ValueError(
                f"Argument `goals` must have at most {self.num_goals} goals of at most "
                f"{self.max_constraints} constraints. Received: goals={goals!r}"
            )
        if asked not in goals:
            raise ValueError(
                f"Argument `asked` must be one of {sorted(goals)}. "
                f"Received: asked={asked!r}"
            )

    @functools.cached_property
    def board_codes(self) -> np.ndarray:
        """Channels of every position, `(positions, channels)`, float32."""
        boards, size = self.world.boards, self.board_size
        shape = (len(boards), self.board_channels, self.board_channels)
        codes = np.zeros((*shape, self.block_channels), "float32")
        blocks = np.arange(1, self.block_channels + 1)
        codes[:, :size, :size] = boards[..., None] == blocks
        return codes.reshape(len(boards), -1)

    @functools.cached_property
    def moves(self) -> np.ndarray:
        """Positions after each action, `(positions, num_actions)`, int32.

        Actions with columns that the board lacks change nothing.
        """
        moves = np.empty((len(self.world.boards), self.num_actions), np.int32)
        moves[:] = np.arange(len(moves))[:, None]
        moves[:, self._own_actions] = self.world.moves
        return moves

    @functools.cached_property
    def _own_actions(self) -> list[int]:
        """Numbers of the actions of the board among all actions."""
        return [self.actions.index(action) for action in self.world.actions]

    def instructions(self, puzzles: Puzzles) -> tuple[np.ndarray, np.ndarray]:
        """Encode the goals of puzzles and the letter asked, as they are read.

        Args:
            puzzles: `Puzzles` of this task.

        Returns:
            `(puzzles, reading_time + 1, instruction_size)`, float32, the channels after
            those of the board: constraints, then the letter asked; and `(puzzles,)`,
            int, the number of constraints, which is the index of the letter asked.
        """
        count = len(puzzles.goals)
        rows = np.arange(count)
        numbers = puzzles.goals.reshape(count, -1)
        letters = np.repeat(puzzles.letters, self.max_constraints, axis=1)
        order = np.argsort(numbers == NOTHING, axis=1, kind="stable")
        numbers = np.take_along_axis(numbers, order, axis=1)
        letters = np.take_along_axis(letters, order, axis=1)
        read = np.sum(numbers != NOTHING, axis=1)
        codes = np.zeros(
            (count, self.reading_time + 1, self.instruction_size), "float32"
        )
        puzzle, step = np.nonzero(numbers != NOTHING)
        for channel in self._channels_of(letters[puzzle, step], numbers[puzzle, step]):
            codes[puzzle, step, channel] = 1.0
        codes[rows, read, puzzles.letters[rows, puzzles.asked]] = 1.0
        codes[rows, read, -1] = 1.0
        return codes, read

    def _channels_of(
        self, letters: np.ndarray, numbers: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Return the channels of letters and of the parts of constraints."""
        shape = self.world.constraint_shape
        block, relation, other = np.unravel_index(numbers, shape)
        first, second = self.num_letters, self.num_letters + self.block_channels
        third = second + len(RELATIONS)
        return letters, first + block, second + relation, third + other

    def optimal_actions(self, position: int, goal: tuple[int, ...]) -> np.ndarray:
        """Return the actions that begin a shortest solution.

        Args:
            position: Index in `world.boards`.
            goal: Numbers of constraints, from `Puzzles.goal_asked`.

        Returns:
            `(num_actions,)`, float32, evenly spread over these actions, with the sum 1;
            zeros where the goal is met.
        """
        spread = np.zeros(self.num_actions, "float32")
        spread[self._own_actions] = self.world.optimal_actions(position, goal)
        return spread / max(1.0, spread.sum())

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw a puzzle, and solve it in one of the shortest ways.

        Args:
            rng: `numpy.random.Generator`; the same state gives the same episode.

        Returns:
            `Episode` of at most `max_time` steps. Targets are evenly spread over the
            actions that begin a shortest solution; the mask is 1 while it acts.
        """
        puzzles = self.draw(1, rng)
        codes, (read,) = self.instructions(puzzles)
        goal, position = puzzles.goal_asked(0), int(puzzles.positions[0])
        positions, targets = [position] * read, [np.zeros(self.num_actions, "float32")]
        targets *= read
        while (spread := self.optimal_actions(position, goal)).any():
            positions.append(position)
            targets.append(spread)
            action = rng.choice(np.flatnonzero(spread))
            position = int(self.moves[position, action])
        steps = np.minimum(np.arange(len(positions)), read)
        inputs = [self.board_codes[positions], codes[0, steps]]
        mask = (np.arange(len(positions)) >= read).astype("float32")
        return Episode(np.concatenate(inputs, axis=1), np.stack(targets), mask)

    def errors(self, batch: EpisodeBatch, outputs: npt.ArrayLike) -> np.ndarray:
        """Count the steps of each episode at which the best action is not optimal.

        Args:
            batch: `EpisodeBatch`.
            outputs: Scores of actions, `(batch, max_time, num_actions)`, or more
                channels, of which the first ones are scores. NaN counts as an error.

        Returns:
            `(batch,)`, integers of at least 0.
        """
        scores = np.asarray(outputs)[..., : self.num_actions]
        best = scores.argmax(axis=-1)[..., None]
        right = np.take_along_axis(batch.targets, best, axis=-1)[..., 0] > 0
        right &= ~np.isnan(scores).any(axis=-1)
        return np.sum(~right * batch.mask, axis=1).astype(int)
