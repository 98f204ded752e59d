"""Every position of numbered blocks on a board, the moves between them, a solver."""

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_dnc.arguments import positive_integer

RELATIONS = ("above", "below", "left of", "right of")
MAX_BOARD_SIZE = 10  # with these limits, all tables take a few hundred megabytes
MAX_POSITIONS = 200_000
_GOALS_KEPT = 4096  # goals whose distances are remembered


class Constraint(NamedTuple):
    """A relation between two blocks that touch each other.

    Attributes:
        block: Number of a block, from 1.
        relation: Where it is: directly `"above"` or `"below"` the other block, or in
            the next column and the same row, `"left of"` or `"right of"` it.
        other: Number of the other block, from 1.

    Example:
        >>> Constraint(3, "below", 5)
        Constraint(block=3, relation='below', other=5)
    """

    block: int
    relation: str
    other: int

    @property
    def text(self) -> str:
        """The constraint in words, such as `"3 below 5"`."""
        return f"{self.block} {self.relation} {self.other}"


class BlockWorld:
    """All positions of numbered blocks on a square board, as tables.

    Blocks are stacked in columns. A move takes the top block of one column and puts it
    on top of another. Positions have numbers, so that a move is one look-up for any
    number of boards at once, and a breadth-first search runs over arrays.

    Args:
        board_size: Number of columns, and of rows. From 2 to 10. Defaults to 3.
        num_blocks: Number of blocks. At least 2, and fewer than the board has cells.
            Defaults to 3.

    Attributes:
        boards: `(positions, board_size, board_size)`, int8, the block in each cell by
            column and by row from the bottom; 0 is an empty cell.
        actions: List of pairs of columns, from and to, counted from 0.
        moves: `(positions, actions)`, int32, the position after each action. An
            impossible move, from an empty column or to a full one, changes nothing.
        holds: `(positions, constraints)`, bool, the constraints that are met.
        constraint_shape: `(num_blocks, 4, num_blocks)`, numbers of blocks, of relations
            and of other blocks; the number of a constraint is its index in C order.

    Raises:
        ValueError: `board_size` or `num_blocks` is not an integer of at least 2,
            `board_size` is above 10, the board has too few cells, or there are more
            than 200,000 positions.

    Example:
        >>> world = BlockWorld(board_size=3, num_blocks=3)
        >>> len(world.boards), len(world.actions)
        (60, 6)
        >>> start = world.position_of([[1, 2, 3], [], []])
        >>> goal = world.goal([Constraint(3, "below", 2), Constraint(1, "above", 2)])
        >>> world.solve(start, goal)
        [(0, 1), (0, 1), (0, 1)]

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, "Block puzzle experiments".
    """

    def __init__(self, board_size: int = 3, num_blocks: int = 3) -> None:
        self.board_size = _at_least_two("board_size", board_size)
        self.num_blocks = _at_least_two("num_blocks", num_blocks)
        self._check_fit()
        size, blocks = self.board_size, self.num_blocks
        self.constraint_shape = (blocks, len(RELATIONS), blocks)
        self.actions = list(itertools.permutations(range(size), 2))
        self._orders = np.array(list(itertools.permutations(range(1, blocks + 1))))
        self._heights = list(_heights(size, size, blocks))
        self.boards = self._all_boards()
        self.moves = self._all_moves()
        self.holds = self._all_constraints()
        self.distances = functools.lru_cache(_GOALS_KEPT)(self._distances)

    def _check_fit(self) -> None:
        """Raise a `ValueError` unless the blocks leave a cell, and the table is small.

        The number of column heights is a coefficient of `(1 + x + ... + x^size)^size`.
        """
        size, blocks = self.board_size, self.num_blocks
        if size > MAX_BOARD_SIZE:
            raise ValueError(
                f"Argument `board_size` must be at most {MAX_BOARD_SIZE}. "
                f"Received: board_size={size}"
            )
        if blocks >= size**2:
            raise ValueError(
                "Argument `num_blocks` must be less than the number of cells of the "
                f"board. Received: num_blocks={blocks}, board_size={size}"
            )
        ways = [1] + [0] * blocks
        for _ in range(size):
            ways = [sum(ways[max(0, n - size) : n + 1]) for n in range(blocks + 1)]
        if (count := ways[blocks] * math.factorial(blocks)) > MAX_POSITIONS:
            raise ValueError(
                "Arguments `board_size` and `num_blocks` must leave at most "
                f"{MAX_POSITIONS} positions. Received: board_size={size}, "
                f"num_blocks={blocks}, with {count} positions"
            )

    def _all_boards(self) -> np.ndarray:
        """List the boards: for each list of heights, every order of the blocks."""
        size, orders = self.board_size, len(self._orders)
        boards = np.zeros((len(self._heights) * orders, size, size), np.int8)
        for number, heights in enumerate(self._heights):
            rows = slice(number * orders, (number + 1) * orders)
            columns = np.repeat(np.arange(size), heights)
            cells = [row for height in heights for row in range(height)]
            boards[rows, columns, cells] = self._orders
        return boards

    def _all_moves(self) -> np.ndarray:
        """Tabulate the position after each action.

        A move permutes the blocks in reading order, column by column from the bottom.
        """
        count, numbers = len(self._orders), {h: n for n, h in enumerate(self._heights)}
        moves = np.empty((len(self.boards), len(self.actions)), np.int32)
        for start, heights in enumerate(self._heights):
            rows = slice(start * count, (start + 1) * count)
            for action, (source, target) in enumerate(self.actions):
                after = list(heights)
                after[source] -= 1
                after[target] += 1
                end = numbers.get(tuple(after))
                order = np.arange(self.num_blocks)
                if end is not None:
                    order = _order_after(heights, source, target)
                ranks = self._ranks(self._orders[:, order])
                moves[rows, action] = (start if end is None else end) * count + ranks
        return moves

    def _ranks(self, orders: np.ndarray) -> np.ndarray:
        """Return the numbers of orders of the blocks, which are sorted."""
        digits = (self.num_blocks + 1) ** np.arange(self.num_blocks)[::-1]
        return np.searchsorted(self._orders @ digits, orders @ digits)

    def _all_constraints(self) -> np.ndarray:
        """Tabulate the constraints that each position meets."""
        place = np.empty((2, len(self.boards), self.num_blocks), int)
        for block in range(self.num_blocks):
            position, *cell = np.nonzero(self.boards == block + 1)
            place[:, position, block] = cell
        column, row = place[..., None] - place[:, :, None, :]  # of a block less another
        relations = [
            (column == 0) & (row == 1),
            (column == 0) & (row == -1),
            (column == -1) & (row == 0),
            (column == 1) & (row == 0),
        ]
        return np.stack(relations, axis=2).reshape(len(self.boards), -1)

    def position_of(self, board: Sequence[Sequence[int]]) -> int:
        """Return the number of a position.

        Args:
            board: Blocks of each column, from the bottom. Columns may be shorter than
                the board; zeros are empty cells.

        Returns:
            Index in `boards`.

        Raises:
            ValueError: The board has too many columns or rows, or its blocks are not
                the numbers from 1 to `num_blocks`, each once.
        """
        columns = [[block for block in column if block] for column in board]
        size, found = self.board_size, sum(columns, [])
        fits = len(columns) <= size and all(len(column) <= size for column in columns)
        if not fits or sorted(found) != list(range(1, self.num_blocks + 1)):
            raise ValueError(
                f"Argument `board` must be up to {size} columns of up to {size} of the "
                f"blocks 1 to {self.num_blocks}, each once. Received: board={board!r}"
            )
        heights = [len(column) for column in columns] + [0] * (size - len(columns))
        number = self._heights.index(tuple(heights))
        return number * len(self._orders) + int(self._ranks(np.array([found]))[0])

    def goal(self, constraints: Iterable[Constraint]) -> tuple[int, ...]:
        """Return the numbers of constraints, columns of `holds`.

        Args:
            constraints: `Constraint`s, or tuples of a block, a relation and a block.

        Returns:
            Tuple of integers, in ascending order.

        Raises:
            ValueError: There is no constraint, a block is not on the board, a block is
                related to itself, or a relation is not one of the four.
        """
        goal = set()
        for block, relation, other in constraints:
            blocks = range(1, self.num_blocks + 1)
            known = block in blocks and other in blocks and relation in RELATIONS
            if not known or block == other:
                raise ValueError(
                    "Argument `constraints` must relate two of the blocks 1 to "
                    f"{self.num_blocks} by one of {RELATIONS}. "
                    f"Received: {(block, relation, other)}"
                )
            parts = block - 1, RELATIONS.index(relation), other - 1
            goal.add(int(np.ravel_multi_index(parts, self.constraint_shape)))
        if not goal:
            raise ValueError(
                "Argument `constraints` must have at least one. "
                f"Received: constraints={constraints!r}"
            )
        return tuple(sorted(goal))

    def constraint(self, number: int) -> Constraint:
        """Return the constraint of a number, a column of `holds`.

        Args:
            number: Integer of at least 0.

        Returns:
            `Constraint`.

        Example:
            >>> world = BlockWorld()
            >>> world.constraint(*world.goal([Constraint(3, "below", 1)]))
            Constraint(block=3, relation='below', other=1)
        """
        parts = np.unravel_index(int(number), self.constraint_shape)
        block, relation, other = map(int, parts)
        return Constraint(block + 1, RELATIONS[relation], other + 1)

    def _distances(self, goal: tuple[int, ...]) -> np.ndarray:
        """Return the least number of moves from each position to a goal.

        The search starts at all positions that meet the goal at once, and steps along
        moves, each of which can be undone by one move.

        Args:
            goal: Numbers of constraints, from `goal`.

        Returns:
            `(positions,)`, int16; -1 where no moves lead to the goal.
        """
        frontier = np.flatnonzero(self.holds[:, list(goal)].all(axis=1))
        distances = np.full(len(self.boards), -1, np.int16)
        distances[frontier] = moves = 0
        while len(frontier):
            moves += 1
            reached = np.zeros(len(self.boards), bool)
            reached[self.moves[frontier]] = True
            frontier = np.flatnonzero(reached & (distances < 0))
            distances[frontier] = moves
        return distances

    def optimal_actions(self, position: int, goal: tuple[int, ...]) -> np.ndarray:
        """Return the actions that begin a shortest solution.

        Args:
            position: Index in `boards`.
            goal: Numbers of constraints, from `goal`.

        Returns:
            `(actions,)`, bool; all false where the goal is met or cannot be met.
        """
        distances = self.distances(goal)
        if distances[position] < 1:
            return np.zeros(len(self.actions), bool)
        return distances[self.moves[position]] == distances[position] - 1

    def solve(self, position: int, goal: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return a shortest list of moves that meets a goal.

        Args:
            position: Index in `boards`.
            goal: Numbers of constraints, from `goal`.

        Returns:
            List of pairs of columns, from and to; empty where the goal is met.

        Raises:
            ValueError: No moves lead to the goal.
        """
        self.check_solvable(position, goal)
        plan = []
        while (optimal := self.optimal_actions(position, goal)).any():
            action = int(np.argmax(optimal))
            plan.append(self.actions[action])
            position = int(self.moves[position, action])
        return plan

    def check_solvable(self, position: int, goal: tuple[int, ...]) -> None:
        """Raise an error if no moves lead from a position to a goal.

        Args:
            position: Index in `boards`.
            goal: Numbers of constraints, from `goal`.

        Raises:
            ValueError: No moves lead to the goal.
        """
        if self.distances(goal)[position] < 0:
            constraints = [tuple(self.constraint(number)) for number in goal]
            raise ValueError(
                "Argument `goal` must have a solution on this board. Received: the "
                f"constraints {constraints}, from {self.boards[position].tolist()}"
            )


@functools.lru_cache(8)
def block_world(board_size: int, num_blocks: int) -> BlockWorld:
    """Return a `BlockWorld`, made once for each size.

    Args:
        board_size: Number of columns, and of rows.
        num_blocks: Number of blocks.

    Returns:
        `BlockWorld`, which is shared.

    Raises:
        ValueError: The sizes are not those of a `BlockWorld`.
    """
    return BlockWorld(board_size, num_blocks)


def _at_least_two(name: str, value: int) -> int:
    """Return an integer of at least 2, or raise a `ValueError`."""
    if positive_integer(name, value) < 2:
        raise ValueError(
            f"Argument `{name}` must be at least 2. Received: {name}={value!r}"
        )
    return int(value)


def _heights(columns: int, most: int, blocks: int) -> Iterator[tuple[int, ...]]:
    """Yield the heights that columns of at most `most` blocks may have."""
    if columns == 0:
        if blocks == 0:
            yield ()
        return
    for height in range(min(most, blocks) + 1):
        for rest in _heights(columns - 1, most, blocks - height):
            yield (height, *rest)


def _order_after(heights: npt.ArrayLike, source: int, target: int) -> np.ndarray:
    """Return the places in reading order from which a move takes its blocks."""
    ends = np.cumsum(heights)
    order = list(range(int(ends[-1])))
    moved = order.pop(int(ends[source]) - 1)
    order.insert(int(ends[target]) - (source < target), moved)
    return np.array(order)
