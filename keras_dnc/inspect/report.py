"""An interactive report of a recorded memory, with a slider over time.

It needs the `plotly` package: `pip install keras_dnc[plot]`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_dnc.inspect import views
from keras_dnc.inspect.trace import Trace

if TYPE_CHECKING:
    from plotly import graph_objects


def report(
    trace: Trace,
    path: str | os.PathLike[str],
    targets: Any = None,
    labels: Iterable[Any] | None = None,
    sequence: int = 0,
    title: str = "Inside the memory",
) -> None:
    """Write an interactive HTML page of one sequence.

    The page shows inputs, outputs, memory, heads and links at every step. A slider and
    a play button move all panels together. The file is self-contained and opens without
    a network connection.

    Args:
        trace: Record of a memory cell, from `keras_dnc.inspect.trace.trace`.
        path: Name of the file to write, such as `"memory.html"`.
        targets: `(batch, time, target_size)`, shown next to the outputs; or `None`.
            Defaults to `None`.
        labels: Tokens of the sequence, one for each step, that name the steps of the
            slider; or `None`. Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        title: Title of the page. Defaults to `"Inside the memory"`.

    Raises:
        ValueError: If the batch has no sequence of this index, or the number of labels
            is not the number of steps.

    Example:
        ```python
        recorded = trace(model, inputs)
        report(recorded, "memory.html")
        ```
    """
    trace.check(sequence)
    names = views.check_labels(labels, len(trace.inputs[0]))
    figure = _figure(_panels(trace, targets, sequence), names, title)
    figure.write_html(path, include_plotlyjs=True, auto_play=False)


class Picture(NamedTuple):
    """Content and labels of one panel of the page.

    Attributes:
        title: Title of the panel.
        across: Label of the horizontal axis: the kind of the columns.
        down: Label of the vertical axis: the kind of the rows.
        values: `(rows, time)` for a heat map with time to the right, or
            `(time, rows, columns)` for one heat map per step.
        rows: Names of the rows.
        columns: Names of the columns.
    """

    title: str
    across: str
    down: str
    values: np.ndarray
    rows: list[str]
    columns: list[Any]

    @property
    def moves(self) -> bool:
        """Whether there is one heat map per step."""
        return self.values.ndim == 3

    @property
    def scale(self) -> tuple[float, float]:
        """The values of the darkest and of the brightest colour."""
        return min(float(self.values.min()), 0.0), max(float(self.values.max()), 1.0)

    @property
    def heading(self) -> str:
        """The title with the values of the darkest and of the brightest colour."""
        dark, bright = self.scale
        return f"{self.title} (dark {dark:.3g}, bright {bright:.3g})"


def _panels(trace: Trace, targets: Any, sequence: int) -> list[Picture]:
    """Build the panels of the page, in reading order."""
    signals = {"input": trace.inputs[sequence], "output": trace.output[sequence]}
    if targets is not None:
        signals["target"] = np.asarray(targets)[sequence]
    panels = [_over_time(name, "channel", s) for name, s in signals.items()]
    slots = views.slots_in_use(trace, sequence)
    for verb in ("write", "read"):
        weights = views.head_weights(trace, verb, sequence, slots)
        for head in range(weights.shape[1]):
            what = f"where head {head + 1} {verb}s"
            panels.append(_over_time(what, "slot", weights[:, head], slots))
    if hasattr(trace, "usage"):
        usage = trace.usage[sequence][:, slots]
        panels.append(_over_time("usage", "slot", usage, slots))
    memory = trace.memory[sequence][:, slots]
    numbers = [str(number) for number in range(memory.shape[2])]
    panels.append(
        Picture("memory", "number in the slot", "slot", memory, _text(slots), numbers)
    )
    if views.has_links(trace):
        panels.extend(_link_panels(trace, sequence, slots))
    return panels


def _over_time(
    title: str, down: str, values: np.ndarray, names: Iterable[Any] | None = None
) -> Picture:
    """Build a panel of values `(time, rows)`."""
    names = range(values.shape[1]) if names is None else names
    steps = list(range(len(values)))
    return Picture(title, "step", down, values.T, _text(names), steps)


def _link_panels(trace: Trace, sequence: int, slots: np.ndarray) -> Iterator[Picture]:
    """Yield the panel of the links of each write head."""
    steps = range(len(trace.inputs[sequence]))
    found = [views.links(trace, sequence, time, slots) for time in steps]
    names = _text(slots)
    for head, over_time in enumerate(np.stack(found, axis=1)):
        title = f"links of write head {head + 1}"
        yield Picture(title, "written before", "written after", over_time, names, names)


def _text(names: Iterable[Any]) -> list[str]:
    """Convert names to strings."""
    return [str(name) for name in names]


def _figure(
    panels: list[Picture], labels: list[str] | None, title: str
) -> graph_objects.Figure:
    """Draw the panels at step 0, and a frame for each step."""
    from plotly.subplots import make_subplots

    rows = -(-len(panels) // 2)
    figure = make_subplots(
        rows,
        2,
        subplot_titles=[panel.heading for panel in panels],
        vertical_spacing=0.3 / rows,
    )
    _draw_start(figure, panels)
    steps = panels[0].values.shape[1]
    figure.frames = [_frame(panels, time) for time in range(steps)]
    names = _text(range(steps))
    if labels is not None:
        names = [f"{time}: {label}" for time, label in enumerate(labels)]
    figure.update_layout(
        title=title, height=260 * rows + 160, showlegend=False, **_controls(names)
    )
    return figure


def _draw_start(figure: graph_objects.Figure, panels: list[Picture]) -> None:
    """Draw each panel at step 0, then a line at that step on those over time."""
    for number, panel in enumerate(panels):
        place = {"row": number // 2 + 1, "col": number % 2 + 1}
        figure.add_trace(_heatmap(panel, 0), **place)
        figure.update_xaxes(title_text=panel.across, **place)
        figure.update_yaxes(title_text=panel.down, **place)
    for number, panel in enumerate(panels):
        if not panel.moves:
            figure.add_trace(_cursor(panel, 0), number // 2 + 1, number % 2 + 1)


def _heatmap(panel: Picture, time: int) -> graph_objects.Heatmap:
    """Draw a panel at one step."""
    from plotly.graph_objects import Heatmap

    values = panel.values[time] if panel.moves else panel.values
    dark, bright = panel.scale
    return Heatmap(
        z=values.astype("float32"),
        x=panel.columns,
        y=panel.rows,
        zmin=dark,
        zmax=bright,
        colorscale="Viridis",
        showscale=False,
        hovertemplate=f"{panel.across} %{{x}}, {panel.down} %{{y}}: %{{z:.3f}}",
        name="",
    )


def _cursor(panel: Picture, time: int) -> graph_objects.Scatter:
    """Draw a vertical line across a panel at one step."""
    from plotly.graph_objects import Scatter

    ends = [panel.rows[0], panel.rows[-1]]
    line = {"color": "red", "width": 2}
    return Scatter(x=[time, time], y=ends, mode="lines", line=line, hoverinfo="skip")


def _frame(panels: list[Picture], time: int) -> graph_objects.Frame:
    """Redraw what changes at one step: heat maps per step, and lines at that step."""
    from plotly.graph_objects import Frame

    moving = [n for n, panel in enumerate(panels) if panel.moves]
    still = [panel for panel in panels if not panel.moves]
    drawn = [_heatmap(panels[number], time) for number in moving]
    drawn += [_cursor(panel, time) for panel in still]
    places = [*moving, *range(len(panels), len(panels) + len(still))]
    return Frame(data=drawn, traces=places, name=str(time))


def _controls(names: list[str]) -> dict[str, Any]:
    """Build the slider and the buttons as parts of a layout."""
    at_once = {"frame": {"duration": 0, "redraw": True}, "mode": "immediate"}
    steps = [
        {"method": "animate", "label": name, "args": [[str(time)], at_once]}
        for time, name in enumerate(names)
    ]
    playing = {"frame": {"duration": 400, "redraw": True}, "fromcurrent": True}
    buttons = [
        {"method": "animate", "label": "play", "args": [None, playing]},
        {"method": "animate", "label": "pause", "args": [[None], at_once]},
    ]
    menu: dict[str, Any] = {
        "type": "buttons",
        "direction": "left",
        "buttons": buttons,
    }
    menu |= {"x": 0.0, "y": 0.0, "xanchor": "left", "yanchor": "top", "pad": {"t": 60}}
    slider: dict[str, Any] = {"steps": steps, "currentvalue": {"prefix": "step "}}
    slider |= {"x": 0.15, "len": 0.85, "pad": {"t": 50}}
    return {"sliders": [slider], "updatemenus": [menu]}
