"""Turn `results.json` into the figures of `README.md` and a plot."""

import json
import pathlib
import re
import statistics

PEER = "dnc 1.1.0, PyTorch"


def write(results, folder):
    """Write the figures between the README's marks, and `speed.png`."""
    path = folder / "README.md"
    marks = r"(<!-- figures -->\n).*(<!-- end of figures -->)"
    figures = "\n".join(tables(results))
    page = re.sub(
        marks, lambda m: m[1] + figures + "\n" + m[2], path.read_text(), flags=re.S
    )
    path.write_text(page)
    draw(results, folder / "speed.png")


def tables(results):
    """Yield the lines of all tables."""
    for name, result in sorted(results["sizes"].items()):
        size = ", ".join(f"{key} {value}" for key, value in result["size"].items())
        yield f"### {name}: {size}\n"
        yield (
            "| | train, ms | forward, ms | training adds, GB | first training step, s "
            "| train, times faster than dnc | forward | memory of dnc's |"
        )
        yield "|---|---|---|---|---|---|---|---|"
        peer = result["contenders"][PEER]
        for contender, found in result["contenders"].items():
            yield row(contender, found, peer)
        yield ""
    if "growth" in results:
        yield from growth(results["growth"])


def row(contender, found, peer):
    """Give one contender's line."""
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


def growth(found):
    """Yield the lines of the tables against time and slots."""
    yield "### Milliseconds of a training step per time step\n"
    yield "Size D unless noted; milliseconds, medians of 3.\n"
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
    """Draw how many times faster than the peer each contender is."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    sizes = sorted(results["sizes"])
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    names = [n for n in results["sizes"][sizes[0]]["contenders"] if n != PEER]
    width = 0.8 / len(names)
    panels = [
        ("train", "times faster"),
        ("forward", "times faster"),
        ("memory", "share of dnc's memory"),
    ]
    for axis, (kind, label) in zip(axes, panels, strict=True):
        for index, name in enumerate(names):
            heights = [
                score(results["sizes"][s]["contenders"], name, kind) for s in sizes
            ]
            places = [
                x + (index - len(names) / 2 + 0.5) * width for x in range(len(sizes))
            ]
            axis.bar(places, heights, width, label=name)
        axis.axhline(1.0, color="black", linewidth=1)
        axis.set_xticks(range(len(sizes)), sizes)
        axis.set_yscale("log")
        axis.set_xlabel("size")
        axis.set_ylabel(label)
        axis.set_title(f"{kind}, against dnc 1.1.0 (PyTorch) = 1")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2
    )
    figure.savefig(path, dpi=90)
    plt.close(figure)


def score(contenders, name, kind):
    """The height of one bar."""
    if kind == "memory":
        return contenders[name]["added_bytes"] / contenders[PEER]["added_bytes"]
    return ratio(contenders[PEER], contenders[name], kind)


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    write(json.loads((here / "results.json").read_text()), here)
