"""Puzzles: a position and several goals under letter names, drawn many at once."""

from typing import NamedTuple

import numpy as np

from keras_dnc.tasks.shrdlu.world import BlockWorld

NOTHING = -1  # in place of a constraint, where a goal has fewer than others
_DRAWS = 1000  # draws after which a puzzle that cannot be drawn is refused


class Puzzles(NamedTuple):
    """Several puzzles on boards of one size.

    Attributes:
        positions: `(puzzles,)`, int, the first position, an index in
            `BlockWorld.boards`.
        letters: `(puzzles, num_goals)`, int, the names of the goals, 0 for A.
        goals: `(puzzles, num_goals, max_constraints)`, int, numbers of constraints in
            the order in which they are read; -1 where there is none.
        asked: `(puzzles,)`, int, which of the goals is to be met.

    Example:
        >>> from keras_dnc.tasks.shrdlu import ShrdluTask
        >>> puzzles = ShrdluTask(num_goals=2).draw(5, np.random.default_rng(0))
        >>> puzzles.letters.shape, puzzles.goals.shape
        ((5, 2), (5, 2, 2))
    """

    positions: np.ndarray
    letters: np.ndarray
    goals: np.ndarray
    asked: np.ndarray

    def goal_asked(self, puzzle: int) -> tuple[int, ...]:
        """Return the goal to be met, as `BlockWorld` takes it.

        Args:
            puzzle: Index of the puzzle.

        Returns:
            Tuple of numbers of constraints, in ascending order.
        """
        return goal_key(self.goals[puzzle, self.asked[puzzle]])


class Sizes(NamedTuple):
    """What kind of puzzle is drawn.

    Attributes:
        num_goals: Number of goals.
        max_constraints: Greatest number of constraints of a goal.
        num_letters: Number of letters from which names are drawn.
        min_moves: Least number of moves of a shortest solution.
        max_moves: Greatest number of moves of a shortest solution.
    """

    num_goals: int
    max_constraints: int
    num_letters: int
    min_moves: int
    max_moves: int


def goal_key(constraints: np.ndarray) -> tuple[int, ...]:
    """Return the constraints of a goal in ascending order, without the missing ones.

    Args:
        constraints: `(max_constraints,)`, int.

    Returns:
        Tuple of integers.

    Example:
        >>> goal_key(np.array([7, 3, -1]))
        (3, 7)
    """
    return tuple(sorted(n for n in constraints.tolist() if n != NOTHING))


def draw_puzzles(
    world: BlockWorld, sizes: Sizes, count: int, rng: np.random.Generator
) -> Puzzles:
    """Draw puzzles, each of whose goals has a solution of the right length.

    The first position is drawn from all positions, evenly. A goal holds a random number
    of the constraints that a second random position meets; it is drawn again if the
    shortest solution is too short or too long.

    Args:
        world: `BlockWorld`.
        sizes: `Sizes`.
        count: Number of puzzles.
        rng: `numpy.random.Generator`.

    Returns:
        `Puzzles`.

    Raises:
        ValueError: Puzzles of these sizes are too rare to be found.
    """
    positions = rng.integers(len(world.boards), size=count)
    shape = (count, sizes.num_goals, sizes.max_constraints)
    goals = np.full(shape, NOTHING)
    pending = np.arange(count)
    for _ in range(_DRAWS):
        new = rng.integers(len(world.boards), size=len(pending))
        positions[pending] = new
        goals[pending], found = _draw_goals(world, sizes, new, rng)
        pending = pending[~found]
        if not len(pending):
            break
    else:
        raise ValueError(
            "Arguments `min_moves` and `max_moves` must be lengths of shortest "
            f"solutions that occur on this board. Received: {sizes}, board_size="
            f"{world.board_size}, num_blocks={world.num_blocks}"
        )
    letters = rng.permuted(np.tile(np.arange(sizes.num_letters), (count, 1)), axis=1)[
        :, : sizes.num_goals
    ]
    asked = rng.integers(sizes.num_goals, size=count)
    return Puzzles(positions, letters, goals, asked)


def _draw_goals(
    world: BlockWorld, sizes: Sizes, positions: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the goals of puzzles, each several times.

    Returns:
        `(puzzles, num_goals, max_constraints)`, and `(puzzles,)`, bool, true where all
        goals have a solution of the right length.
    """
    count = len(positions)
    starts = np.repeat(positions, sizes.num_goals)
    goals = np.full((len(starts), sizes.max_constraints), NOTHING)
    pending = np.arange(len(starts))
    for _ in range(4):  # then the position itself is drawn again
        ends = rng.integers(len(world.boards), size=len(pending))
        goals[pending] = _some_of(world, ends, sizes.max_constraints, rng)
        far = _distances(world, starts[pending], goals[pending])
        pending = pending[(far < sizes.min_moves) | (far > sizes.max_moves)]
        if not len(pending):
            break
    failed = np.zeros((count, sizes.num_goals), int)
    failed.flat[pending] = 1
    return goals.reshape(*failed.shape, -1), failed.sum(axis=1) == 0


def _some_of(
    world: BlockWorld, positions: np.ndarray, most: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw constraints that positions meet, in random order and random wording.

    `1 above 2` and `2 below 1` are one fact, of which one wording is drawn.

    Returns:
        `(positions, most)`, int, `NOTHING` where there are fewer.
    """
    blocks, shape = world.num_blocks, world.constraint_shape
    facts = world.holds[positions].reshape(len(positions), *shape)
    facts = facts[:, :, [0, 2]].reshape(len(positions), -1)  # above and left of
    order = np.where(facts, rng.random(facts.shape), -1.0)
    drawn = np.argsort(-order, axis=1, kind="stable")[:, :most]
    block, relation, other = np.unravel_index(drawn, (blocks, 2, blocks))
    numbers = np.ravel_multi_index((block, 2 * relation, other), shape)
    turned = np.ravel_multi_index((other, 2 * relation + 1, block), shape)
    numbers = np.where(rng.random(drawn.shape) < 0.5, numbers, turned)
    count = rng.integers(1, most + 1, size=(len(positions), 1))
    is_read = np.arange(drawn.shape[1]) < count
    kept = np.take_along_axis(facts, drawn, axis=1) & is_read
    numbers = np.where(kept, numbers, NOTHING)
    missing = most - drawn.shape[1]
    return np.pad(numbers, [(0, 0), (0, missing)], constant_values=NOTHING)


def _distances(
    world: BlockWorld, positions: np.ndarray, goals: np.ndarray
) -> np.ndarray:
    """Return the least number of moves from positions to goals; -1 for empty goals."""
    return np.array(
        [
            world.distances(goal)[position] if (goal := goal_key(row)) else -1
            for position, row in zip(positions, goals, strict=True)
        ],
        int,
    )
