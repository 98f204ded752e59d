"""An animation of a memory at work, one frame for each step.

This module needs the `matplotlib` package: `pip install keras_dnc[plot]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_dnc.inspect import colors
from keras_dnc.inspect import panels
from keras_dnc.inspect import views
from keras_dnc.inspect.drawing import draw_bar
from keras_dnc.inspect.drawing import draw_memory
from keras_dnc.inspect.drawing import draw_panel
from keras_dnc.inspect.drawing import empty_figure
from keras_dnc.inspect.drawing import number_steps
from keras_dnc.inspect.panels import Panel
from keras_dnc.inspect.trace import Trace

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (9.6, 5.4)  # inches, 16:9
_MARK = 90.0  # area of the mark of a head of weight 1, in square points
_FUTURE = 2  # covers of later steps are drawn above the values


def animate_memory(
    trace: Trace,
    targets: Any = None,
    labels: Iterable[Any] | None = None,
    sequence: int = 0,
    title: str = "A memory at work",
    seconds: float = 0.5,
) -> FuncAnimation:
    """Animate inputs, outputs, heads and the memory of one sequence, step by step.

    Args:
        trace: Record of a memory cell, from `keras_dnc.inspect.trace.trace`.
        targets: `(batch, time, target_size)`, in [0, 1]. If given, outputs are shown as
            probabilities, the sigmoids of the logits. Defaults to `None`.
        labels: Tokens of the sequence, one for each step, to name the steps; or `None`.
            Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        title: Title of the figure. Defaults to `"A memory at work"`.
        seconds: Duration of a frame. Defaults to 0.5.

    Returns:
        `matplotlib.animation.FuncAnimation`, one frame for each step;
        `.save("memory.gif", writer="pillow")` writes it.

    Raises:
        ValueError: If the batch has no sequence of this index, or the number of labels
            is not the number of steps.

    Example:
        ```python
        recorded = trace(model, inputs)
        animate_memory(recorded).save("memory.gif", writer="pillow", dpi=80)
        ```
    """
    from matplotlib.animation import FuncAnimation

    trace.check(sequence)
    names = views.check_labels(labels, len(trace.inputs[sequence]))
    frames = Frames(trace, targets, names, sequence, title)

    def show(step: int) -> list[Any]:
        frames.show(step)
        return []

    show(0)
    return FuncAnimation(
        frames.figure, show, frames=frames.steps, interval=1000 * seconds
    )


class Frames:
    """The figure of an animation, and the parts of it that move.

    The panels on the left have time to the right: inputs, writes, reads and outputs.
    They are covered beyond the current step. The panel on the right is the memory after
    the current step; the marks next to a slot grow with the weights of the heads.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        targets: `(batch, time, target_size)`, in [0, 1], or `None`.
        names: Tokens, one for each step, or `None`.
        sequence: Index of the sequence in the batch.
        title: Title of the figure.

    Attributes:
        figure: `matplotlib.figure.Figure`.
        steps: Number of steps.

    Raises:
        ValueError: If the batch has no sequence of this index.
    """

    def __init__(
        self,
        trace: Trace,
        targets: Any,
        names: list[str] | None,
        sequence: int,
        title: str,
    ) -> None:
        shown = _panels(trace, targets, sequence)
        self.steps = len(shown[0].values)
        self.figure, axes, self._right = _layout(shown, title)
        self._names = names
        self._covers = [_cover(*pair) for pair in zip(axes, shown, strict=True)]
        slots = views.slots_in_use(trace, sequence)
        self._memory = trace.memory[sequence][:, slots]
        bound = max(float(np.max(np.abs(self._memory))), 1e-6)
        self._image = draw_memory(self._right, self._memory[0], slots, bound)
        bar = draw_bar(self._right, colors.DIVERGING, (-bound, bound), width=0.03)
        bar.set_yticks([-bound, bound], [f"{-bound:.2g}", f"{bound:.2g}"])
        bar.set_ylabel("value", fontsize=8, labelpad=-8)
        self._heads = _draw_heads(self._right, trace, sequence, slots)

    def show(self, step: int) -> None:
        """Show one step.

        Args:
            step: Index of the step.
        """
        for cover in self._covers:
            cover.set_x(step + 0.5)
        self._image.set_data(self._memory[step])
        for marks, weights in self._heads:
            marks.set_sizes(_MARK * weights[step])
        token = "" if self._names is None else f": {self._names[step]}"
        self._right.set_xlabel(f"feature\nmemory after step {step}{token}")


def _panels(trace: Trace, targets: Any, sequence: int) -> list[Panel]:
    """Build the panels on the left, from top to bottom."""
    signals = list(panels.signals(trace, targets, sequence))
    signals = [panel for panel in signals if panel.title != "target"]
    heads = [panels.weights(trace, verb, sequence)[0] for verb in ("write", "read")]
    return [signals[0], *heads, signals[1]]


def _layout(shown: list[Panel], title: str) -> tuple[Figure, list[Axes], Axes]:
    """Create the figure, with the panels on the left drawn."""
    figure = empty_figure(_SIZE, title)
    heights = [min(len(panel.names), 16) ** 0.5 for panel in shown]
    grid = figure.add_gridspec(
        len(shown), 2, width_ratios=(2, 1), height_ratios=heights
    )
    axes: list[Axes] = []
    for row, panel in enumerate(shown):
        axis = figure.add_subplot(grid[row, 0], sharex=axes[0] if axes else None)
        draw_panel(axis, panel)
        axis.set_ylabel(f"{panel.title}\n({panel.kind})", fontsize=9)
        axis.tick_params(labelbottom=panel is shown[-1])
        axes.append(axis)
    number_steps(axes[-1])
    figure.align_ylabels(axes)
    return figure, axes, figure.add_subplot(grid[:, 1])


def _cover(axis: Axes, panel: Panel) -> Any:
    """Cover the values of a panel, and return the cover, which starts at `x`."""
    from matplotlib.patches import Rectangle

    steps, rows = len(panel.values), len(panel.names)
    cover = Rectangle((-0.5, -0.5), steps, rows, color="white", zorder=_FUTURE)
    axis.add_patch(cover)
    return cover


def _draw_heads(
    axis: Axes, trace: Trace, sequence: int, slots: np.ndarray
) -> list[tuple[Any, np.ndarray]]:
    """Place the marks of all heads: writes left of the slots, reads right of them.

    Returns:
        List of `(marks, weights)`, one for each head: `weights` are `(time, slots)`.
    """
    found = []
    low, high = axis.get_xlim()
    for verb, marker in (("write", ">"), ("read", "<")):
        weights = views.head_weights(trace, verb, sequence, slots)
        palette = colors.heads(verb)
        for head in range(weights.shape[1]):
            low, high = (low - 1, high) if verb == "write" else (low, high + 1)
            place = low + 0.3 if verb == "write" else high - 0.3
            marks = axis.scatter(
                np.full(len(slots), place),
                np.arange(len(slots)),
                marker=marker,
                color=palette[head % len(palette)],
                linewidths=0,
            )
            found.append((marks, weights[:, head]))
        axis.plot([], [], marker, color=palette[0], label=f"{verb}s")
    axis.set_xlim(low - 0.4, high + 0.4)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    axis.spines[:].set_visible(False)
    return found
