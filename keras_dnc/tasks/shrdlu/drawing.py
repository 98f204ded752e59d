"""Boards and goals as text and as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_dnc.tasks.shrdlu.puzzles import Puzzles
from keras_dnc.tasks.shrdlu.puzzles import goal_key
from keras_dnc.tasks.shrdlu.task import LETTERS
from keras_dnc.tasks.shrdlu.task import ShrdluTask

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Distinguishable if colour-blind; used again from the eighth block on.
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")


def goal_lines(
    task: ShrdluTask, puzzles: Puzzles, puzzle: int = 0, position: int | None = None
) -> list[str]:
    """Return the goals of a puzzle as text, one line each.

    Args:
        task: `ShrdluTask` of the puzzles.
        puzzles: `Puzzles`.
        puzzle: Index of the puzzle. Defaults to 0.
        position: Index in `task.world.boards`, to mark the constraints that it meets
            with `*`. Defaults to `None`, for no marks.

    Returns:
        List of lines; that of the goal asked begins with `>`.

    Example:
        >>> task = ShrdluTask()
        >>> goals = {"C": [(1, "below", 2)], "T": [(3, "above", 1)]}
        >>> puzzles = task.puzzle([[1, 2, 3]], goals, asked="T")
        >>> goal_lines(task, puzzles, position=puzzles.positions[0])
        ['  C: 1 below 2*', '> T: 3 above 1']
    """
    lines = []
    for place, goal in enumerate(puzzles.goals[puzzle]):
        if not goal_key(goal):
            continue
        words = []
        for number in goal[goal >= 0]:
            met = position is not None and task.world.holds[position, number]
            words.append(task.world.constraint(number).text + "*" * bool(met))
        mark = ">" if place == puzzles.asked[puzzle] else " "
        letter = LETTERS[puzzles.letters[puzzle, place]]
        lines.append(f"{mark} {letter}: {', '.join(words)}")
    return lines


def to_text(task: ShrdluTask, puzzles: Puzzles, puzzle: int, position: int) -> str:
    """Return a board with its goals as text.

    Args:
        task: `ShrdluTask` of the puzzles.
        puzzles: `Puzzles`.
        puzzle: Index of the puzzle.
        position: Index in `task.world.boards`.

    Returns:
        Text of one line for each goal and each row of the board.

    Example:
        >>> task = ShrdluTask()
        >>> puzzles = task.puzzle([[1, 2], [3]], {"T": [(3, "above", 1)]}, asked="T")
        >>> print(to_text(task, puzzles, 0, puzzles.positions[0]))
        > T: 3 above 1
        . . .
        2 . .
        1 3 .
    """
    rows = task.world.boards[position].T[::-1]
    board = [" ".join(str(block) if block else "." for block in row) for row in rows]
    return "\n".join([*goal_lines(task, puzzles, puzzle, position), *board])


def draw_board(axis: Axes, board: np.ndarray) -> None:
    """Draw a board on axes.

    Args:
        axis: `matplotlib.axes.Axes`.
        board: `(columns, rows)`, int, the block in each cell; 0 is an empty cell.
    """
    from matplotlib.patches import Rectangle

    size = len(board)
    for column, row in np.argwhere(board):
        number = int(board[column, row])
        colour = _COLOURS[(number - 1) % len(_COLOURS)]
        axis.add_patch(Rectangle((column + 0.05, row + 0.02), 0.9, 0.94, color=colour))
        middle = (column + 0.5, row + 0.5)
        axis.text(
            *middle, str(number), ha="center", va="center", color="white", size=18
        )
    axis.set(xlim=(0, size), ylim=(0, size), aspect="equal")
    axis.set(xticks=np.arange(size + 1), yticks=[], xticklabels=[])
    axis.tick_params(length=8)
    axis.spines[["left", "right", "top"]].set_visible(False)


def to_picture(
    task: ShrdluTask, puzzles: Puzzles, puzzle: int, position: int
) -> np.ndarray:
    """Return a board with its goals as a picture.

    This function needs the `matplotlib` package: `pip install keras_dnc[plot]`.

    Args:
        task: `ShrdluTask` of the puzzles.
        puzzles: `Puzzles`.
        puzzle: Index of the puzzle.
        position: Index in `task.world.boards`.

    Returns:
        `(height, width, 3)`, uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = goal_lines(task, puzzles, puzzle, position)
    figure = Figure(figsize=(4.0, 4.0 + 0.25 * task.num_goals), dpi=80, layout="tight")
    canvas: Any = FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    draw_board(axis, task.world.boards[position])
    axis.set_title("\n".join(lines), fontfamily="monospace", fontsize=10, loc="left")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
