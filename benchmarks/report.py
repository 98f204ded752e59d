"""Turn `results.json` into the figures of `README.md` and a plot."""

import json
import pathlib
import statistics

from page import stamped
from page import write_figures

PEER = "dnc 1.1.0, PyTorch"
FLOOR = "keras.layers.LSTM, TensorFlow with XLA"  # no memory: context, no contender
PANELS = {  # title, and range of the axis, in which 1 is the peer
    "train": ("time of a training step", (0.015, 2.0)),
    "forward": ("time of a forward pass", (0.015, 2.0)),
    "memory": ("memory that training adds", (0.08, 40.0)),
}
SIZE = {"time": "steps", "slots": "slots", "units": "LSTM units"}
SHORT = {
    "keras_dnc in keras.layers.RNN, TensorFlow with XLA": "in keras.layers.RNN, XLA"
}
COLORS = {  # after Okabe and Ito
    "keras_dnc, TensorFlow with XLA": "#0072b2",
    "keras_dnc, JAX": "#d55e00",
    "keras_dnc, TensorFlow graph": "#009e73",
    "keras_dnc, TensorFlow graph, one thread per operation": "#66c2a5",
    "keras_dnc, JAX, two devices of one CPU": "#e69f00",
    "keras_dnc, PyTorch": "#56b4e9",
    "keras_dnc, PyTorch, torch.compile": "#0e6e9e",
    "keras_dnc in keras.layers.RNN, TensorFlow with XLA": "#cc79a7",
}
TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)  # that fit a logarithmic axis


def write(results, folder):
    """Write the figures between the README's marks, and `speed.png`."""
    write_figures(tables(results), "figures", folder)
    draw(results, folder / "speed.png")


def tables(results):
    """Yield the lines of all tables."""
    for name, result in sorted(results["sizes"].items()):
        size = ", ".join(f"{key} {value}" for key, value in result["size"].items())
        yield f"### {name}: {size}\n"
        yield from stamped(result.get("stamp"))
        yield (
            "| | train, ms | forward, ms | training adds, GB | first training step, s "
            "| train, times faster than dnc | forward, times faster | memory, share of "
            "dnc's |"
        )
        yield "|---|---|---|---|---|---|---|---|"
        peer = result["contenders"][PEER]
        for contender, found in result["contenders"].items():
            yield row(contender, found, peer)
        yield ""
    if "growth" in results:
        yield from growth(results["growth"], results.get("growth_stamp"))


def row(contender, found, peer):
    """Return one contender's line."""
    if "error" in found:
        return f"| {contender} | {found['error']} |" + " |" * 6
    cells = [contender, f"{milliseconds(found, 'train'):.1f}"]
    cells += [f"{milliseconds(found, 'forward'):.1f}"]
    cells += [f"{found['added_bytes'] / 1e9:.2f}", f"{found['train']['first']:.1f}"]
    cells += [f"{ratio(peer, found, kind):.1f}" for kind in ("train", "forward")]
    cells += [f"{found['added_bytes'] / peer['added_bytes']:.2f}"]
    return "| " + " | ".join(cells) + " |"


def milliseconds(found, kind):
    """Median over the rounds."""
    return statistics.median(found[kind]["rounds"]) * 1e3


def ratio(peer, found, kind):
    """How many times faster than `peer`: the median of the rounds' ratios."""
    pairs = zip(peer[kind]["rounds"], found[kind]["rounds"], strict=True)
    return statistics.median(theirs / ours for theirs, ours in pairs)


def growth(found, stamp):
    """Yield the lines of the tables against time and slots."""
    yield "### Milliseconds of a training step per time step\n"
    yield from stamped(stamp)
    yield "Size D unless noted; milliseconds, medians of the rounds.\n"
    yield "| steps | " + " | ".join(found["time"]) + " |"
    yield "|---" * (len(found["time"]) + 1) + "|"
    yield (
        "| MemoryRNN | " + " | ".join(f"{v:.2f}" for v in found["time"].values()) + " |"
    )
    yield "\n50 steps:\n"
    slots = next(iter(found["slots"].values()))
    yield "| slots | " + " | ".join(slots) + " |"
    yield "|---" * (len(slots) + 1) + "|"
    for name, values in found["slots"].items():
        yield f"| {name} | " + " | ".join(f"{v:.2f}" for v in values.values()) + " |"
    yield ""


def draw(results, path):
    """Draw time and memory of each contender against the peer's, by size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = {name: results["sizes"][name] for name in sorted(results["sizes"])}
    rows = list(placed(sizes))
    figure = Figure(figsize=(13, 1.6 + 0.3 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"Against {PEER}, for the same work: further left is better")
    axes = figure.subplots(1, len(PANELS), sharey=True)
    for axis, (kind, (title, limits)) in zip(axes, PANELS.items(), strict=True):
        for place, size, name in rows:
            draw_share(axis, place, share(sizes[size]["contenders"], name, kind), name)
        for size, found in sizes.items():
            places = [place for place, other, _ in rows if other == size]
            draw_floor(axis, places, share(found["contenders"], FLOOR, kind))
        finish(axis, title, limits)
    places = [place for place, *_ in rows]
    axes[0].set_yticks(places, [SHORT.get(name, name) for *_, name in rows])
    axes[0].set_ylim(max(places) + 0.6, -1.6)  # the first size is at the top
    for size, found in sizes.items():
        head(axes[0], min(p for p, other, _ in rows if other == size), size, found)
    figure.savefig(path, dpi=90)


def placed(sizes):
    """Yield `(place, size, contender)`, with room for a heading above each size."""
    place = 0.0
    for size, found in sizes.items():
        for name, measured in found["contenders"].items():
            if name not in (PEER, FLOOR) and "error" not in measured:
                yield place, size, name
                place += 1.0
        place += 1.4


def head(axis, place, name, found):
    """Write a size above its first row, left of the panel."""
    size = [
        f"{found['size'][k]} {word}" for k, word in SIZE.items() if k in found["size"]
    ]
    text = f"{name}: {', '.join(size)}"
    across = axis.get_yaxis_transform()
    axis.text(
        -0.02,
        place - 0.9,
        text,
        transform=across,
        ha="right",
        va="center",
        weight="bold",
    )


def draw_share(axis, place, value, name):
    """Draw one contender's bar, which starts at the peer's 1, and label it."""
    axis.barh(place, value - 1.0, left=1.0, color=COLORS.get(name, "black"), height=0.8)
    text = f"{value:.1f}×" if value >= 1.0 else f"1 / {1.0 / value:.1f}"
    side = {"x": value * 1.06, "ha": "left"}
    if value < 1.0:
        side = {"x": value / 1.06, "ha": "right"}
    paper = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5}
    axis.text(y=place, s=text, va="center", fontsize=9, bbox=paper, **side)


def draw_floor(axis, places, value):
    """Shade what an LSTM without a memory needs, at the rows of one size."""
    if value is None:
        return
    low, high = min(places) - 0.5, max(places) + 0.5
    axis.fill_betweenx((low, high), 1e-9, value, color="0.92", zorder=0)
    axis.vlines(value, low, high, color="0.5", linestyle="--", linewidth=1)
    if low < 0.0:
        axis.text(value, low, "LSTM without memory", color="0.4", size=8, ha="center")


def finish(axis, title, limits):
    """Label a panel and its logarithmic axis."""
    axis.axvline(1.0, color="black", linewidth=1)
    axis.set(title=title, xscale="log", xlim=limits)
    ticks = [tick for tick in TICKS if limits[0] <= tick <= limits[1]]
    names = [f"{tick}" if tick >= 1 else f"1/{round(1 / tick)}" for tick in ticks]
    axis.set_xticks(ticks, names)
    axis.minorticks_off()
    axis.set_xlabel(f"times {PEER}")
    axis.spines[["top", "right"]].set_visible(False)


def share(contenders, name, kind):
    """Time or memory of a contender, in those of the peer; `None` if not measured."""
    if name not in contenders or "error" in contenders[name]:
        return None
    if kind == "memory":
        return contenders[name]["added_bytes"] / contenders[PEER]["added_bytes"]
    return 1.0 / ratio(contenders[PEER], contenders[name], kind)


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    write(json.loads((here / "results.json").read_text()), here)
