"""One page on which to scrub through time and watch a memory.

The `plotly` package is needed: `pip install keras_dnc[plot]`.
"""

import os
from collections.abc import Iterable
from typing import Any
from typing import NamedTuple

import numpy as np

from keras_dnc.inspect import views
from keras_dnc.inspect.trace import Trace


def report(
    trace: Trace,
    path: str | os.PathLike,
    targets: Any = None,
    labels: Iterable | None = None,
    sequence: int = 0,
    title: str = "Inside the memory",
) -> None:
    """Write a page that shows input, output, memory, heads and links at every step.

    The page holds all that it needs; it opens from a disk, without network. A slider,
    and a button that plays, move all its parts together.

    Args:
        trace: `keras_dnc.inspect.trace.Trace`.
        path: Of the file, such as `"memory.html"`.
        targets: `(batch, time, target_size)`, or `None`: shown beside the outputs.
        labels: The sequence's tokens, one a step, that name the slider's steps; or
            `None`.
        sequence: Number of the sequence in the batch.
        title: Of the page.

    Raises:
        ValueError: There is no such sequence, or not one label a step.

    Example:
        ```python
        seen = trace(model, inputs)
        report(seen, "memory.html")
        ```
    """
    trace.check(sequence)
    labels = views.check_labels(labels, len(trace.inputs[0]))
    figure = _figure(_panels(trace, targets, sequence), labels, title)
    figure.write_html(path, include_plotlyjs=True, auto_play=False)


class Picture(NamedTuple):
    """One picture on the page.

    Attributes:
        title: What it shows.
        across: What its columns are.
        down: What its rows are.
        values: `(rows, time)`, one picture with time to the right; or
            `(time, rows, columns)`, one picture for each step.
        rows: Names of the rows.
        columns: Names of the columns.
    """

    title: str
    across: str
    down: str
    values: np.ndarray
    rows: list
    columns: list

    @property
    def moves(self):
        """Whether there is a picture for each step."""
        return self.values.ndim == 3

    @property
    def scale(self):
        """The values of the darkest and of the brightest colour."""
        return min(float(self.values.min()), 0.0), max(float(self.values.max()), 1.0)

    @property
    def heading(self):
        """What it shows, and what its colours say."""
        dark, bright = self.scale
        return f"{self.title} (dark {dark:.3g}, bright {bright:.3g})"


def _panels(trace, targets, sequence):
    """List what the page shows, in the order of reading."""
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


def _over_time(title, down, values, names=None):
    """Give a panel of values `(time, rows)`."""
    names = range(values.shape[1]) if names is None else names
    steps = list(range(len(values)))
    return Picture(title, "step", down, values.T, _text(names), steps)


def _link_panels(trace, sequence, slots):
    steps = range(len(trace.inputs[sequence]))
    found = [views.links(trace, sequence, time, slots) for time in steps]
    names = _text(slots)
    for head, over_time in enumerate(np.stack(found, axis=1)):
        title = f"links of write head {head + 1}"
        yield Picture(title, "written before", "written after", over_time, names, names)


def _text(names):
    return [str(name) for name in names]


def _figure(panels, labels, title):
    """Draw each panel at step 0, a line at that step, and a frame for each step."""
    from plotly.subplots import make_subplots

    rows = -(-len(panels) // 2)
    figure = make_subplots(
        rows,
        2,
        subplot_titles=[panel.heading for panel in panels],
        vertical_spacing=0.3 / rows,
    )
    steps = panels[0].values.shape[1]
    for number, panel in enumerate(panels):
        place = {"row": number // 2 + 1, "col": number % 2 + 1}
        figure.add_trace(_heatmap(panel, 0), **place)
        figure.update_xaxes(title_text=panel.across, **place)
        figure.update_yaxes(title_text=panel.down, **place)
    for number, panel in enumerate(panels):
        if not panel.moves:
            figure.add_trace(_cursor(panel, 0), number // 2 + 1, number % 2 + 1)
    figure.frames = [_frame(panels, time) for time in range(steps)]
    names = _text(range(steps))
    if labels is not None:
        names = [f"{time}: {label}" for time, label in enumerate(labels)]
    figure.update_layout(
        title=title, height=260 * rows + 160, showlegend=False, **_controls(names)
    )
    return figure


def _heatmap(panel, time):
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


def _cursor(panel, time):
    """Draw a line down a panel, at one step."""
    from plotly.graph_objects import Scatter

    ends = [panel.rows[0], panel.rows[-1]]
    line = {"color": "red", "width": 2}
    return Scatter(x=[time, time], y=ends, mode="lines", line=line, hoverinfo="skip")


def _frame(panels, time):
    """Give what is drawn anew at one step, and where."""
    from plotly.graph_objects import Frame

    moving = [n for n, panel in enumerate(panels) if panel.moves]
    still = [panel for panel in panels if not panel.moves]
    drawn = [_heatmap(panels[number], time) for number in moving]
    drawn += [_cursor(panel, time) for panel in still]
    places = [*moving, *range(len(panels), len(panels) + len(still))]
    return Frame(data=drawn, traces=places, name=str(time))


def _controls(names):
    """Give the slider and the buttons, as parts of a layout."""
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
    menu = {"type": "buttons", "direction": "left", "buttons": buttons}
    menu |= {"x": 0.0, "y": 0.0, "xanchor": "left", "yanchor": "top", "pad": {"t": 60}}
    slider = {"steps": steps, "currentvalue": {"prefix": "step "}}
    slider |= {"x": 0.15, "len": 0.85, "pad": {"t": 50}}
    return {"sliders": [slider], "updatemenus": [menu]}
