"""An interactive report of a recorded memory, with a slider over time.

It needs the `plotly` package: `pip install keras_dnc[plot]`.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_dnc.inspect import panels
from keras_dnc.inspect import views
from keras_dnc.inspect.page import page_of
from keras_dnc.inspect.sheet import Ranking
from keras_dnc.inspect.sheet import Sheet
from keras_dnc.inspect.trace import Trace


def report(
    trace: Trace,
    path: str | os.PathLike[str],
    targets: Any = None,
    labels: Iterable[Any] | None = None,
    sequence: int = 0,
    title: str = "Inside the memory",
    classes: Sequence[str] | None = None,
    logits: Any = None,
) -> None:
    """Write an interactive HTML page of one sequence.

    The page shows inputs, outputs, heads, usage and gates over time, and the memory and
    links after one step. A slider, a play button and a button for each token move all
    panels together; they stay at the top of the window. The page opens at the last step
    that is not padding. The file is self-contained and opens without a network
    connection.

    Args:
        trace: Record of a memory cell, from `keras_dnc.inspect.trace.trace`.
        path: Name of the file to write, such as `"memory.html"`.
        targets: `(batch, time, target_size)`, in [0, 1], shown above the outputs. If
            given, outputs are shown as probabilities, the sigmoids of the logits.
            `None` omits the targets and shows the outputs unchanged. Defaults to
            `None`.
        labels: Tokens of the sequence, one for each step, that name the steps; or
            `None`. Defaults to `None`.
        sequence: Index of the sequence in the batch. Defaults to 0.
        title: Title of the page. Defaults to `"Inside the memory"`.
        classes: Names of the classes if the outputs are logits of classes, such as the
            words of a vocabulary; or `None`. If given, the page shows probabilities,
            and the three most probable classes of a step. Defaults to `None`.
        logits: `(batch, time, classes)`, outputs of the model, if other layers follow
            the cell; or `None` for the outputs of the cell. Defaults to `None`.

    Raises:
        ValueError: If the batch has no sequence of this index, or the number of labels
            is not the number of steps, or the number of classes not that of logits.

    Example:
        ```python
        recorded = trace(model, inputs)
        report(recorded, "memory.html")
        report(reader.trace, "story.html", labels=reader.tokens,
               classes=reader.vocabulary.words)
        ```
    """
    trace.check(sequence)
    steps = len(trace.inputs[sequence])
    names = views.check_labels(labels, steps)
    over_time = panels.over_time(trace, targets, sequence, classes, logits)
    real = np.flatnonzero(trace.mask[sequence])
    first = int(real[-1]) if len(real) else steps - 1
    ranking = None
    if classes is not None:
        chances = panels.probabilities(trace, sequence, classes, logits)
        ranking = Ranking(classes, chances)
    states = panels.states(trace, sequence)
    figure = Sheet(over_time, states, names, ranking).figure(first)
    div = figure.to_html(full_html=False, include_plotlyjs=True, auto_play=False)
    page = page_of(div, title, steps, names, first)
    pathlib.Path(path).write_text(page, encoding="utf-8")
