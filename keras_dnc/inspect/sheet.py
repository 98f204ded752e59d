"""The panels of a report as one plotly figure, with a frame for each step.

This module needs the `plotly` package.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_dnc.inspect import colors
from keras_dnc.inspect import panels
from keras_dnc.inspect.panels import Panel
from keras_dnc.inspect.panels import State

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_COLUMNS = (0.09, 0.58), (0.69, 0.94)  # left and right, as shares of the width
_GAPS = 34, 66  # pixels above a panel of each column
_RANK, _STATE = 30, 300  # pixels of a bar, and of a heat map on the right
_MOST_TOKENS = 80  # tokens that fit side by side under a panel
_LEAST_BAR = 0.002  # plotly writes no name next to a bar of no length
_HOVER = "%{customdata}: %{z:.3f}<extra></extra>"
_NOTE = {"xref": "paper", "yref": "paper", "yanchor": "bottom", "showarrow": False}
_WORDS = ("class", "gate", "rank")  # kinds of rows that are all labelled
_ABOVE, _BELOW = 24, 110  # pixels around all panels, for plotly's buttons and tokens
_PAPER = {
    "margin": {"t": _ABOVE, "b": _BELOW, "l": 10, "r": 10},
    "plot_bgcolor": "white",
    "showlegend": False,
    "font": {"size": 12, "color": "#222"},
}
_BAR, _BARS = 10, 0.011  # pixels of a colour bar; distance of those of two heads


class Ranking(NamedTuple):
    """The most probable classes at each step.

    Attributes:
        names: Names of all classes.
        chances: `(time, classes)`, probabilities.
        size: Number of classes to show. Defaults to 3.
    """

    names: Sequence[str]
    chances: np.ndarray
    size: int = 3


class _Place(NamedTuple):
    """The axes of a panel, and where they are.

    Attributes:
        suffix: Number of the axes in plotly's names; empty for the first ones.
        across: First and last place from left to right, in [0, 1].
        up: First and last place from bottom to top, in [0, 1].
    """

    suffix: str
    across: tuple[float, float]
    up: tuple[float, float]

    @property
    def axes(self) -> dict[str, str]:
        """The axes as arguments of a trace."""
        return {"xaxis": f"x{self.suffix}", "yaxis": f"y{self.suffix}"}


class Sheet:
    """Panels over time on the left, states after one step on the right.

    Args:
        over_time: Panels with the same steps, from top to bottom.
        states: Panels of one step, from top to bottom.
        labels: Tokens, one for each step, or `None`. Defaults to `None`.
        ranking: Most probable classes, shown above the states; or `None`. Defaults to
            `None`.

    Example:
        >>> values = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
        >>> panel = Panel("usage", "Slots in use.", "slot", "usage", values, ["0", "1"])
        >>> figure = Sheet([panel], [], labels=["a", "b", "c"]).figure(first=2)
        >>> figure.layout.xaxis.ticktext, len(figure.frames)
        (('a', 'b', 'c'), 3)
    """

    def __init__(
        self,
        over_time: Sequence[Panel],
        states: Sequence[State],
        labels: Sequence[str] | None = None,
        ranking: Ranking | None = None,
    ) -> None:
        left = [_height(panel) for panel in over_time]
        right = [] if ranking is None else [_RANK * ranking.size]
        right += [_STATE] * len(states)
        columns = zip((left, right), _GAPS, strict=True)
        total = max(sum(heights) + gap * len(heights) for heights, gap in columns)
        places = _places(left, right, total)
        self._steps = len(over_time[0].values)
        # Traces as plotly's dicts; of those that move, also what a step changes.
        self._still: list[dict[str, Any]] = []
        self._moving: list[tuple[dict[str, Any], Callable[[int], dict[str, Any]]]] = []
        self._notes: list[dict[str, Any]] = []
        self._layout: dict[str, Any] = {"height": _ABOVE + total + _BELOW} | _PAPER
        for panel in over_time:
            self._add_panel(next(places), panel)
        self._name_steps(len(over_time), labels)
        if ranking is not None:
            self._add_ranking(next(places), ranking)
        for state in states:
            self._add_state(next(places), state)

    def figure(self, first: int) -> Figure:
        """Draw all panels.

        Args:
            first: Index of the step that is shown until another one is chosen.

        Returns:
            `plotly.graph_objects.Figure` with frames named `"0"`, `"1"` and so on.
        """
        from plotly.graph_objects import Figure
        from plotly.graph_objects import Frame

        numbers = [len(self._still) + number for number in range(len(self._moving))]
        frames = [
            Frame(
                data=[{"type": base["type"], **at(step)} for base, at in self._moving],
                traces=numbers,
                name=str(step),
            )
            for step in range(self._steps)
        ]
        drawn = [*self._still, *({**base, **at(first)} for base, at in self._moving)]
        return Figure(drawn, self._layout | {"annotations": self._notes}, frames)

    def _add_panel(self, place: _Place, panel: Panel) -> None:
        """Add a panel over time, and a frame around the current step."""
        self._describe(place, panel.title, panel.caption, panel.kind, panel.names)
        for number, scale in enumerate(panel.scales):
            values, steps = _layer(panel, number)
            drawn = _heatmap(place, scale, panel.limits, panel.quantity, number)
            head = f"head {number + 1}, " if len(panel.heads) > 1 else ""
            rows = np.broadcast_to(np.array(panel.names)[:, None], values.shape)
            drawn |= {"z": values.astype("float32"), "x": steps, "customdata": rows}
            drawn["hovertemplate"] = f"{head}{panel.kind} {_HOVER}"
            self._still.append(drawn)
        if len(panel.heads) > 1:
            self._number_heads(place, panel)
        edges, top = np.array([-0.5, 0.5, 0.5, -0.5, -0.5]), len(panel.names) - 0.5
        line = {"color": colors.CURSOR, "width": 2}
        frame: dict[str, Any] = {"type": "scatter", "mode": "lines", "line": line}
        frame |= {"y": [-0.5, -0.5, top, top, -0.5], "hoverinfo": "skip", **place.axes}
        self._moving.append((frame, lambda step: {"x": step + edges}))

    def _number_heads(self, place: _Place, panel: Panel) -> None:
        """Write the number of each head above its colour bar, in its colour."""
        for number, color in enumerate(panel.heads):
            bar = self._still[number - len(panel.heads)]["colorbar"]
            note = {"x": bar["x"] + _BARS / 2, "y": place.up[1], "xanchor": "center"}
            note |= {"text": f"<b>{number + 1}</b>", "font": {"color": color}}
            self._notes.append(_NOTE | note)
            if number + 1 < len(panel.heads):
                bar |= {"tickvals": [], "title": None}
            else:
                bar["title"]["text"] = f"{panel.quantity} of head"

    def _add_state(self, place: _Place, state: State) -> None:
        """Add the heat map of a state after the current step."""
        self._describe(place, state.title, state.caption, state.kind, state.names)
        at, text = panels.ticks(state.columns)
        axis = self._layout[f"xaxis{place.suffix}"]
        axis |= {"tickvals": at, "ticktext": text, "title": {"text": state.across}}
        limits = panels.limits(state.values)
        scale = colors.scale(signed=limits[0] < 0.0)
        drawn = _heatmap(place, scale, limits, state.quantity)
        drawn["customdata"] = [
            [f"{row}, {state.across} {column}" for column in state.columns]
            for row in state.names
        ]
        drawn["hovertemplate"] = f"{state.kind} {_HOVER}"
        values = state.values.astype("float32")
        self._moving.append((drawn, lambda step: {"z": values[step]}))

    def _add_ranking(self, place: _Place, ranking: Ranking) -> None:
        """Add bars of the most probable classes at the current step."""
        count = min(ranking.size, len(ranking.names))
        ranks = [str(rank) for rank in range(count, 0, -1)]
        caption = f"The {count} most probable classes at the step."
        self._describe(place, "predicted", caption, "rank", ranks)
        self._layout[f"xaxis{place.suffix}"] |= {"range": [0, 1], "nticks": 3}
        bars: dict[str, Any] = {
            "type": "bar",
            "orientation": "h",
            "y": list(range(count)),
        }
        bars |= {"marker": {"color": colors.SEQUENTIAL[2]}, "insidetextanchor": "start"}
        bars |= {"textfont": {"color": "black"}, "hoverinfo": "text", **place.axes}

        def best(step: int) -> dict[str, Any]:
            chances = ranking.chances[step]
            found = np.argsort(-chances, kind="stable")[:count][::-1].tolist()
            texts = [_named(ranking.names[n], chances[n]) for n in found]
            return {"x": np.maximum(chances[found], _LEAST_BAR), "text": texts}

        self._moving.append((bars, best))

    def _describe(
        self, place: _Place, title: str, caption: str, kind: str, names: list[str]
    ) -> None:
        """Place the axes of a panel, label its rows, and write title and caption."""
        at, text = panels.ticks(names, len(names) if kind in _WORDS else 8)
        frame: dict[str, Any] = {
            "showline": True,
            "mirror": True,
            "linecolor": "black",
            "zeroline": False,
        }
        x, y = place.axes.values()
        across: dict[str, Any] = {
            "domain": place.across,
            "anchor": y,
            "showgrid": False,
        }
        up: dict[str, Any] = {"domain": place.up, "anchor": x, "showgrid": False}
        up |= {"tickvals": at, "ticktext": text, "range": [-0.5, len(names) - 0.5]}
        up["title"] = {"text": kind}
        self._layout[f"xaxis{place.suffix}"] = across | frame
        self._layout[f"yaxis{place.suffix}"] = up | frame
        note = {"x": place.across[0], "y": place.up[1], "xanchor": "left"}
        note["text"] = f"<b>{title}</b>  <span style='color:#555'>{caption}</span>"
        self._notes.append(_NOTE | note)

    def _name_steps(self, count: int, labels: Sequence[str] | None) -> None:
        """Label the steps of the panels over time: numbers, or tokens if they fit."""
        named: dict[str, Any] = {"range": [-0.5, self._steps - 0.5], "matches": "x"}
        if labels is not None and self._steps <= _MOST_TOKENS:
            texts = [html.escape(label) for label in labels]
            named |= {
                "tickvals": list(range(self._steps)),
                "ticktext": texts,
                "tickangle": -90,
            }
        for number in range(1, count + 1):
            axis = self._layout[f"xaxis{'' if number == 1 else number}"]
            axis |= named | {"showticklabels": number == count}
        axis |= {"title": {"text": "step"}}


def _places(left: list[int], right: list[int], total: int) -> Iterator[_Place]:
    """Yield the place of each panel, those on the left first, given their heights."""
    number = 0
    for across, heights, gap in zip(_COLUMNS, (left, right), _GAPS, strict=True):
        top = total + gap - _GAPS[0]  # nothing is above the first panel
        for height in heights:
            number += 1
            top -= gap
            up = ((top - height) / total, top / total)
            yield _Place("" if number == 1 else str(number), across, up)
            top -= height


def _height(panel: Panel) -> int:
    """Return the height of a panel over time in pixels."""
    return min(max(13 * len(panel.names), 60), 140)


def _layer(panel: Panel, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what one colour scale draws: `(values (rows, columns), steps (columns,))`.

    Several heads stand side by side within a step; NaN leaves room for the others.
    """
    steps, heads = np.arange(len(panel.values)), len(panel.heads)
    if heads <= 1:
        return panel.values.T, steps
    values = np.full((panel.values.shape[-1], len(steps), heads), np.nan)
    values[..., number] = panel.values[:, number].T
    places = steps[:, None] + (np.arange(heads) + 0.5) / heads - 0.5
    return values.reshape(len(values), -1), places.ravel()


def _heatmap(
    place: _Place,
    scale: Sequence[str],
    limits: tuple[float, float],
    quantity: str,
    number: int = 0,
) -> dict[str, Any]:
    """Return a heat map without values, with its colour bar next to the panel.

    Args:
        place: Place of the panel.
        scale: Colours from the least to the largest value.
        limits: The least and the largest value.
        quantity: What the colours encode.
        number: Number of colour bars that the panel has already.
    """
    low, high = place.up
    bar = {
        "x": place.across[1] + 0.005 + _BARS * number,
        "y": (low + high) / 2,
        "len": high - low,
        "xpad": 0,
        "ypad": 0,
        "thickness": _BAR,
        "outlinewidth": 1,
        "tickvals": list(limits),
        "ticktext": [f"{limit:.3g}" for limit in limits],
        "title": {"text": quantity, "side": "right"},
    }
    shades = {"colorscale": list(scale), "zmin": limits[0], "zmax": limits[1]}
    return {"type": "heatmap", "colorbar": bar, **shades, **place.axes}


def _named(name: str, chance: float) -> str:
    """Write a class and its probability."""
    return f"{html.escape(str(name))}  {chance:.2f}"
