"""Draw the figures of the README, the examples and the documentation from these logs.

python examples/results/draw.py [archives of Omniglot]

The head positions of the copy task come from `saved_models/copy-ntm`.
"""

import csv
import json
import pathlib
import sys

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from keras_dnc import saved_models
from keras_dnc.inspect.trace import trace
from keras_dnc.tasks import omniglot
from keras_dnc.tasks.babi import TASK_NAMES
from keras_dnc.tasks.copy import CopyTask
from keras_dnc.tasks.copy import RepeatCopyTask
from keras_dnc.tasks.copy import normal_repeats
from keras_dnc.tasks.ngram import NGramTask
from keras_dnc.tasks.recall import AssociativeRecallTask
from keras_dnc.tasks.sorting import PrioritySortTask

HERE = pathlib.Path(__file__).parent
POINTS = "offset points"
HEIGHTS = {"LSTM": 0, "DNC": -5, "NTM": 5}  # of names, which may end side by side


def ngrams(shortest, longest):
    """Return the task of the n-grams, whose sequences all have one length."""
    return NGramTask(6, longest or 200)


def repeats(shortest, longest):
    """Return the task of repeating, in steps and repeats of the same range."""
    longest = longest or 10
    sizes = (8, shortest, longest, shortest, longest)
    return RepeatCopyTask(*sizes, **normal_repeats(1, 10))


# Title, and function from the least and the largest length, or `None` as trained.
ALGORITHMS = {
    "copy": ("copy, 1 to 20 steps", lambda a, b: CopyTask(8, a, b or 20)),
    "recall": (
        "recall, 2 to 6 items",
        lambda a, b: AssociativeRecallTask(6, 3, max(a, 2), b or 6),
    ),
    "repeat_copy": ("repeat copy, to 10 x 10", repeats),
    "sort": (
        "sort, 16 of 20",
        lambda a, b: PrioritySortTask(8, b or 20, (b or 20) * 4 // 5),
    ),
    "ngram": ("6-grams, 200 bits", ngrams),
}
PLAIN_RUNS = ([], ["seed0"], ["seed1"], ["seed2"])  # not those that tried other ways
# Dark enough for text, and distinct for colour-blind readers (after Okabe and Ito).
BLUE, BROWN, GREY = "#0072B2", "#B35900", "#595959"
COPY_CELLS = {"LSTM": GREY, "DNC": BROWN, "NTM": BLUE}
COPY_LENGTHS, COPY_BITS = (20, 50, 80, 120), 8
PLANNING = {
    "dnc": ("DNC", BLUE, "-"),
    "lstm": ("LSTM", GREY, "-"),
    "dnc-warm-up": ("DNC, imitates at first", BROWN, "-"),
    "dnc-entropy-0.01": ("DNC, little entropy", BLUE, ":"),
}
GRAPHS = {  # logs of the stages of each run
    "traversal, SAM": (BLUE, "traversal-sam", "traversal-sam-repeated-labels"),
    "inference, DNC": (BROWN, "inference-dnc", "inference-dnc-relation-sampling"),
    "shortest paths, DNC": ("#8E4A78", "shortest-path-dnc-trees-under-way"),
    "traversal, LSTM": (GREY, "traversal-lstm-under-way"),
}
UPDATES_OF_EPOCH = 200  # of the runs on graphs


def column(path, name):
    """Return one column of a log, one number per epoch."""
    with path.open(newline="") as file:
        return np.array([float(row[name]) for row in csv.DictReader(file)])


def new_axis(title, x, y):
    """Return an empty figure and its axis, with title and labels."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.set(title=title, xlabel=x, ylabel=y)
    return figure, axis


def draw_copy():
    """Draw copy errors by length, and the heads of the NTM as it copies 120 steps."""
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    FigureCanvasAgg(figure)
    errors, heads = figure.subplots(1, 2, width_ratios=(1, 1.15))
    draw_copy_errors(errors)
    draw_copy_heads(heads)
    for axis in (errors, heads):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "copy.png", dpi=110)


def draw_copy_errors(axis):
    """Draw the share of wrong bits by length: points are seeds, lines their medians."""
    for cell, colour in COPY_CELLS.items():
        paths = HERE.glob(f"algorithms/copy-{cell.lower()}-seed*.json")
        runs = [json.loads(path.read_text())["by_length"] for path in paths]
        shares = [[run[str(n)] / (COPY_BITS * n) for n in COPY_LENGTHS] for run in runs]
        percent = 100.0 * np.array(shares)
        axis.plot(COPY_LENGTHS, percent.T, ".", color=colour, markersize=4)
        median = np.median(percent, axis=0)
        axis.plot(COPY_LENGTHS, median, color=colour, linewidth=2)
        axis.text(122, median[-1], cell, color=colour, va="center", weight="bold")
    axis.axvspan(1, 20, color="0.9", linewidth=0)
    axis.text(10.5, 25, "seen in training", rotation=90, va="center", ha="center")
    axis.hlines(50, 0, 119, color="0.4", linestyle=":", linewidth=1)
    axis.text(22, 51, "chance", va="bottom")
    axis.set(xlim=(0, 140), ylim=(-2, 57), xticks=COPY_LENGTHS, yticks=(0, 25, 50))
    axis.set(xlabel="steps to copy", ylabel="wrong bits, %", title="Errors by length")


def draw_copy_heads(axis):
    """Draw the slot of each head, its largest weight, as an NTM copies 120 steps."""
    length = COPY_LENGTHS[-1]
    task = CopyTask(COPY_BITS, length, length)
    batch = task.batch(1, np.random.default_rng(0))
    seen = trace(saved_models.load("copy-ntm").model, batch.inputs)
    for weights, first, colour in (
        (seen.write_weights, 0, BLUE),
        (seen.read_weights, length + 1, BROWN),
    ):
        slots = weights[0, first : first + length, 0].argmax(axis=-1)
        steps = np.arange(first, first + length)
        axis.scatter(steps, slots, s=5, marker="s", color=colour, linewidth=0)
    axis.text(66, 80, "writes each step\nto the next slot", color=BLUE, weight="bold")
    axis.text(183, 80, "reads them back\nin order", color=BROWN, weight="bold")
    axis.set(xlim=(-8, 268), xlabel="step", ylabel="slot")
    axis.set_title("Inside the NTM: 120 steps, 128 slots")


def draw_all_tasks():
    """Draw the held-out error of each of the 20 bAbI tasks, over the three phases."""
    phases = [HERE / "babi-all" / f"phase-{number}.csv" for number in (1, 2, 3)]
    figure = Figure(figsize=(12, 8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("All bAbI tasks in one DNC: held-out error, %, whole stories")
    axes = figure.subplots(4, 5, sharex=True, sharey=True)
    for task, axis in enumerate(axes.flat, start=1):
        draw_task(axis, task, phases)
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    figure.savefig(HERE / "babi-all.png", dpi=90)


def draw_task(axis, task, phases):
    """Draw the error of one task, which not every phase may have."""
    start = 0
    for path, color in zip(phases, (GREY, BROWN, BLUE), strict=True):
        rows = list(csv.DictReader(path.open()))
        errors = [100.0 * float(row.get(f"val_qa{task}") or "nan") for row in rows]
        axis.plot(start + np.arange(len(rows)), errors, color=color)
        start += len(rows)
    axis.set(ylim=(0, 100))
    axis.set_title(f"{task}: {TASK_NAMES[task]}", fontsize=9)


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


def draw_algorithms():
    """Draw how each task is learned, and the errors by length, cell by cell."""
    figure = Figure(figsize=(3.2 * len(ALGORITHMS), 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(ALGORITHMS)).T
    for (task, (title, make)), pair in zip(ALGORITHMS.items(), axes, strict=True):
        learning, lengths = pair
        for cell, runs in runs_of(task).items():
            draw_learning(learning, cell.upper(), runs)
            draw_lengths(lengths, cell.upper(), runs, make)
        draw_guesses(learning, lengths, make)
        learning.set(title=title, xlabel="updates")
        learning.set_yscale("linear" if is_ngram(make) else "log")
        lengths.set_xlabel("length")
        for axis in pair:
            axis.margins(x=0.02, y=0.12)
            axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("held-out loss, nats a sequence")
    axes[0][1].set_ylabel("wrong bits, %, median of seeds")
    axes[-1][1].set_ylabel("bits above the optimum")
    figure.savefig(HERE / "algorithms.png", dpi=90)


def runs_of(task):
    """Dict from each cell to its runs of a task, one a seed."""
    found = {}
    for cell in ("lstm", "dnc", "ntm"):
        paths = sorted(HERE.glob(f"algorithms/{task}-{cell}*.json"))
        runs = [path for path in paths if path.stem.split("-")[2:] in PLAIN_RUNS]
        if runs:
            found[cell] = runs
    return found


def draw_learning(axis, cell, runs):
    """Draw the held-out loss of each run of a cell, named at the end of the last."""
    for path in runs:
        losses = column(path.with_suffix(".csv"), "val_loss")
        steps = json.loads(path.read_text())["settings"]["steps"]
        updates = steps * (1 + np.arange(len(losses)))
        axis.plot(updates, losses, color=COPY_CELLS[cell], linewidth=1.2)
    name_line(axis, updates[-1], losses[-1], cell)


def draw_lengths(axis, cell, runs, make):
    """Draw the median error of a cell by length; of tasks with right bits, in %."""
    found = [json.loads(path.read_text())["by_length"] for path in runs]
    sizes = [int(length) for length in found[0] if length.isdigit()]
    errors = np.median([[run[str(n)] for n in sizes] for run in found], axis=0)
    if not is_ngram(make):
        errors = 100.0 * errors / [bits_of(make(n, n)) for n in sizes]
    axis.plot(sizes, errors, "o-", color=COPY_CELLS[cell], clip_on=False)
    axis.set_xticks(sizes)
    name_line(axis, sizes[-1], errors[-1], cell)


def name_line(axis, x, y, cell):
    """Write the name of a cell right of the end of its line."""
    axis.annotate(
        *(cell, (x, y), (5, HEIGHTS[cell])),
        textcoords="offset points",
        color=COPY_CELLS[cell],
        va="center",
        weight="bold",
    )


def draw_guesses(learning, lengths, make):
    """Draw the loss and the error of guessing, and the optimum of the n-grams."""
    task = make(1, None)
    chance = bits_of(task) * np.log(2.0)
    sizes = lengths.get_xticks()
    errors = [50.0] * len(sizes)
    if is_ngram(make):
        batch = task.batch(200, np.random.default_rng(1000))  # the held-out one
        above = np.mean(task.errors(batch, np.zeros_like(batch.targets)))
        draw_level(learning, chance - above * np.log(2.0), "optimum", -10)
        errors = [guessing_error(make(n, n)) for n in sizes]
    draw_level(learning, chance, "chance")
    lengths.plot(sizes, errors, ":", color="0.4", linewidth=1)
    place = {"textcoords": POINTS, "ha": "center", "color": "0.3"}
    middle = np.mean(sizes[[0, -1]]), np.mean([errors[0], errors[-1]])
    lengths.annotate("chance", middle, (0, 8), **place)
    lengths.set_ylim(0.0, 1.2 * errors[-1])


def draw_level(axis, y, name, height=3):
    """Draw a level that does not depend on the updates."""
    axis.axhline(y, color="0.4", linestyle=":", linewidth=1)
    place = {"xycoords": ("axes fraction", "data"), "ha": "right", "color": "0.3"}
    axis.annotate(name, (1.0, y), (0, height), textcoords=POINTS, **place)


def is_ngram(make):
    """Whether a task is that of the n-grams, whose error is not a number of bits."""
    return make is ngrams


def bits_of(task):
    """Return the mean number of bits of a sequence that count."""
    batch = task.batch(1000, np.random.default_rng(0))
    return batch.mask.sum(axis=1).mean() * task.target_size


def guessing_error(task):
    """Return the mean error of even odds for every bit."""
    batch = task.batch(200, np.random.default_rng(0))
    return np.mean(task.errors(batch, np.zeros_like(batch.targets)))


def draw_instances():
    """Draw how often a drawing of an unseen alphabet is named, by how many came."""
    figure, axis = new_axis("Omniglot, unseen alphabets", "drawing", "named right, %")
    for path in sorted(HERE.glob("omniglot/*.json")):
        accuracy = json.loads(path.read_text())["accuracy_by_instance"]
        steps = range(1, len(accuracy) + 1)
        axis.plot(steps, 100.0 * np.array(accuracy), "o-", label=path.stem.upper())
    axis.set_ylim(0.0, 100.0)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(HERE / "omniglot-instances.png", dpi=90)


def draw_planning():
    """Draw held-out puzzles solved, and their moves, by the minutes of training."""
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2)
    for run, (name, colour, style) in PLANNING.items():
        path = HERE / "shrdlu" / f"{run}.csv"
        minutes = np.cumsum(column(path, "seconds")) / 60.0
        for axis, curve in zip(axes, ("val_solved", "val_moves_ratio"), strict=True):
            axis.plot(minutes, column(path, curve), style, color=colour, label=name)
            axis.set(xlabel="minutes, one core", xlim=(0, 46))
            axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_title("held-out puzzles solved")
    axes[1].set(title="moves / optimal moves", ylim=(1, 3))
    axes[0].legend(loc="lower right")
    figure.savefig(HERE / "shrdlu.png", dpi=100)


def draw_graphs():
    """Draw held-out questions about graphs answered rightly, by updates."""
    title = "Held-out questions about random graphs"
    figure, axis = new_axis(title, "updates", "answered rightly, %")
    for name, (colour, *stages) in GRAPHS.items():
        paths = [HERE / "graphs" / f"{stage}.csv" for stage in stages]
        right = 100.0 * np.concatenate([column(path, "val_right") for path in paths])
        updates = UPDATES_OF_EPOCH * (1 + np.arange(len(right)))
        axis.plot(updates, right, color=colour, linewidth=1.2, label=name)
    axis.set(ylim=(-2, 102))
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "graphs.png", dpi=100)


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
    """Draw every figure; the Omniglot episode only if its archives are given."""
    draw_copy()
    draw_all_tasks()
    draw_memn2n()
    draw_resize()
    draw_algorithms()
    draw_instances()
    draw_planning()
    draw_graphs()
    if archives := sys.argv[1:]:
        draw_omniglot(archives)


if __name__ == "__main__":
    main()
