"""Draw the pictures of `examples/README.md` from the logs and figures beside this file.

python examples/results/draw.py [archives of Omniglot]
"""

import csv
import json
import pathlib
import sys

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from keras_dnc.tasks import omniglot

HERE = pathlib.Path(__file__).parent
LESSONS = {"1": "first question", "3": "three questions", "whole": "whole stories"}


def column(path, name):
    """Give one figure of a log, epoch by epoch."""
    with path.open(newline="") as file:
        return np.array([float(row[name]) for row in csv.DictReader(file)])


def new_axis(title, x, y):
    """Give an empty picture, its axes named."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.set(title=title, xlabel=x, ylabel=y)
    return figure, axis


def draw_lessons():
    """Draw the held-out error of the seven bAbI tasks, lesson by lesson."""
    figure, axis = new_axis(
        "Seven bAbI tasks, a DNC that takes lessons", "epoch", "held-out error, %"
    )
    start = 0
    for lesson, name in LESSONS.items():
        errors = column(
            HERE / "babi-dnc" / f"seven-tasks-{lesson}.csv", "val_question_error"
        )
        axis.plot(start + np.arange(len(errors)), 100.0 * errors, label=name)
        start += len(errors)
    axis.set_ylim(bottom=0.0)
    axis.legend()
    figure.savefig(HERE / "babi-dnc.png", dpi=90)


def draw_memn2n():
    """Draw the test error of each bAbI task, alone and jointly."""
    figure, axis = new_axis("bAbI, End-to-End Memory Networks", "task", "test error, %")
    found = json.loads((HERE / "babi-memn2n" / "metrics.json").read_text())
    tasks = [int(task) for task in found["per_task"]]
    alone = [run["test_error_percent"][task] for task, run in found["per_task"].items()]
    joint = found["joint"]["test_error_percent"]
    axis.bar(np.array(tasks) - 0.2, alone, 0.4, label="a model for each task")
    axis.bar(np.array(tasks) + 0.2, [joint[str(t)] for t in tasks], 0.4, label="one")
    axis.set_xticks(tasks)
    axis.legend()
    figure.savefig(HERE / "babi-memn2n.png", dpi=90)


def draw_resize():
    """Draw the wrong bits of longer sequences, in memories of more slots."""
    runs = [json.loads(path.read_text()) for path in HERE.glob("resize/seed*.json")]
    figure, axis = new_axis(
        f"The same weights in larger memories, median of {len(runs)} seeds",
        "steps to copy",
        "wrong bits a sequence",
    )
    for slots in next(iter(runs[0].values())):
        wrong = [[row[slots] for row in run.values()] for run in runs]
        lengths = [int(length) for length in runs[0]]
        axis.plot(lengths, np.median(wrong, axis=0), "o-", label=f"{slots} slots")
    axis.legend()
    figure.savefig(HERE / "resize.png", dpi=90)


def draw_copy():
    """Draw the wrong bits of held-out copies, seed by seed."""
    figure, axis = new_axis(
        "An NTM learns to copy 1 to 20 steps", "updates", "wrong bits a sequence"
    )
    for path in sorted(HERE.glob("copy/ntm-seed*.csv")):
        errors = column(path, "val_bit_errors")
        updates = 250 * (1 + np.arange(len(errors)))
        axis.plot(updates, errors, label=path.stem.replace("-", ", "))
    axis.set_ylim(bottom=0.0)
    axis.legend()
    figure.savefig(HERE / "copy.png", dpi=90)


def draw_omniglot(archives):
    """Draw one episode: the drawings, and the label each of them has in it."""
    task = omniglot.OmniglotTask(omniglot.read_zips(archives), num_drawings=3)
    episode = task.sample(np.random.default_rng(0))
    figure = Figure(figsize=(9, 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    steps = zip(figure.subplots(1, task.max_time), *episode[:2], strict=True)
    for axis, shown, label in steps:
        axis.imshow(shown[: task.size**2].reshape(task.size, -1), cmap="Greys")
        axis.set(xticks=[], yticks=[], xlabel=f"is {label.argmax() + 1}")
    figure.suptitle("An episode of five characters, three drawings of each", size=9)
    figure.savefig(HERE / "omniglot.png", dpi=90)


def main():
    """Draw all; the episode of Omniglot where its archives are given."""
    draw_lessons()
    draw_memn2n()
    draw_resize()
    draw_copy()
    if archives := sys.argv[1:]:
        draw_omniglot(archives)


if __name__ == "__main__":
    main()
