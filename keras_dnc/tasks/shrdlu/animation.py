"""An animation of an episode with the memory of the network that acts in it.

This module needs the `matplotlib` package: `pip install keras_dnc[plot]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_dnc.tasks.shrdlu.drawing import draw_board
from keras_dnc.tasks.shrdlu.drawing import goal_lines
from keras_dnc.tasks.shrdlu.puzzles import NOTHING
from keras_dnc.tasks.shrdlu.puzzles import Puzzles
from keras_dnc.tasks.shrdlu.task import LETTERS
from keras_dnc.tasks.shrdlu.task import ShrdluTask

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes

_SIZE = (12.0, 5.0)  # inches
_TITLES = ("slot written", "slot read")
_LEAST_WRITTEN = 0.2  # write weight below which a slot does not hold a constraint


def animate_episode(
    trace: Any,
    task: ShrdluTask,
    puzzles: Puzzles,
    sequence: int = 0,
    seconds: float = 1.0,
) -> FuncAnimation:
    """Animate an episode: the board, what each slot holds, and which slots are read.

    The left panel shows the board and the goals; constraints that are met have a star.
    The other panels show, step by step, the write and the read weights of each slot,
    the largest of all heads. A slot is labelled with the constraint that was read when
    it was written most, and in bold if the constraint belongs to the goal asked.

    Args:
        trace: `keras_dnc.inspect.trace.Trace` of a cell that reads the observations and
            has `write_weights` and `read_weights` of dense memory.
        task: `ShrdluTask` of the episode.
        puzzles: `Puzzles` of one puzzle, such as `ShrdluVectorEnv.puzzles[0]`.
        sequence: Index of the sequence in the trace. Defaults to 0.
        seconds: Duration of a frame. Defaults to 1.

    Returns:
        `matplotlib.animation.FuncAnimation`; `.save("episode.gif", writer="pillow")`
        writes it.

    Raises:
        ValueError: The trace lacks the sequence or the weights, or its inputs are not
            observations of the task.

    Example:
        >>> import keras_dnc
        >>> from keras_dnc.inspect.trace import trace
        >>> task = ShrdluTask()
        >>> puzzles = task.puzzle([[1, 2], [3]], {"T": [(3, "above", 2)]}, asked="T")
        >>> cell = keras_dnc.DNCCell(6, controller=8, memory_size=5, word_size=4)
        >>> cell.build((None, task.observation_size))
        >>> codes, _ = task.instructions(puzzles)
        >>> board = np.repeat(task.board_codes[puzzles.positions], 2, axis=0)
        >>> observed = np.concatenate([board, codes[0, :2]], axis=1)
        >>> animation = animate_episode(trace(cell, observed[None]), task, puzzles)
        >>> import tempfile
        >>> animation.save(f"{tempfile.mkdtemp()}/episode.gif", writer="pillow")
    """
    from matplotlib.animation import FuncAnimation
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    trace.check(sequence, ["write_weights", "read_weights"])
    positions = _positions(trace.inputs[sequence], task)
    weights = [_of_slots(trace.write_weights[sequence])[: len(positions)]]
    weights.append(_of_slots(trace.read_weights[sequence])[: len(positions)])
    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3, width_ratios=[1.0, 1.1, 0.8])

    def draw(frame: int) -> list[Any]:
        for axis in axes:
            axis.clear()
        draw_board(axes[0], task.world.boards[positions[frame]])
        lines = goal_lines(task, puzzles, 0, positions[frame])
        axes[0].set_title("\n".join(lines), fontfamily="monospace", loc="left")
        for axis, values, title in zip(axes[1:], weights, _TITLES, strict=True):
            _draw_weights(axis, values, frame, title)
        _label_slots(axes[1], weights[0], frame, _constraints(task, puzzles))
        return []

    draw(0)
    return FuncAnimation(figure, draw, frames=len(positions), interval=1000.0 * seconds)


def _positions(observations: np.ndarray, task: ShrdluTask) -> list[int]:
    """Return the positions that observations show, up to the end of the episode."""
    if observations.shape[-1] != task.observation_size:
        raise ValueError(
            "Argument `trace` must have observations of the task as inputs, of "
            f"{task.observation_size} channels. Received: {observations.shape[-1]}"
        )
    codes = observations[:, : task.board_codes.shape[1]]
    codes = codes[codes.any(axis=1)]  # an observation after the end is zero
    return [int(np.argmax((task.board_codes == code).all(axis=1))) for code in codes]


def _of_slots(weights: np.ndarray) -> np.ndarray:
    """Return the largest weight of all heads on each slot, `(time, memory_size)`."""
    return weights.reshape(len(weights), -1, weights.shape[-1]).max(axis=1)


def _constraints(task: ShrdluTask, puzzles: Puzzles) -> list[tuple[str, bool]]:
    """List constraints as they are read, and whether each is of the goal asked."""
    listed = []
    for place, goal in enumerate(puzzles.goals[0]):
        letter = LETTERS[puzzles.letters[0, place]]
        for number in goal[goal != NOTHING]:
            text = f"{letter}: {task.world.constraint(number).text}"
            listed.append((text, place == puzzles.asked[0]))
    return listed


def _draw_weights(axis: Axes, weights: np.ndarray, frame: int, title: str) -> None:
    """Draw the weights of each slot up to a step, with time to the right."""
    seen = np.where(np.arange(len(weights))[:, None] <= frame, weights, 0.0)
    axis.imshow(seen.T, cmap="Greys", vmin=0.0, vmax=1.0, aspect="auto")
    axis.axvline(frame, color="#4477aa", alpha=0.4)
    axis.set(title=title, xlabel="step", yticks=np.arange(weights.shape[1]))


def _label_slots(
    axis: Axes, written: np.ndarray, frame: int, constraints: list[tuple[str, bool]]
) -> None:
    """Label each slot with the constraint that it holds."""
    while_reading = written[: min(frame + 1, len(constraints))]
    steps = while_reading.argmax(axis=0)
    holds = while_reading.max(axis=0) >= _LEAST_WRITTEN
    axis.set_yticklabels(
        [
            constraints[step][0] if held else ""
            for step, held in zip(steps, holds, strict=True)
        ]
    )
    for label, step, held in zip(axis.get_yticklabels(), steps, holds, strict=True):
        if held and constraints[step][1]:
            label.set_fontweight("bold")
