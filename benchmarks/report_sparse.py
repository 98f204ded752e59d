"""Turn `sparse.json` into the second part of `README.md` and a plot."""

import statistics

from page import stamped
from page import write_figures


def write(results, folder):
    """Write the figures between the README's marks, and `slots.png`."""
    write_figures(tables(results), "sparse", folder)
    if "growth" in results:
        draw(results["growth"], folder / "slots.png")


def tables(results):
    """Yield the lines of all tables."""
    for part, lines in (
        ("pairs", pairs),
        ("large", large),
        ("growth", growth),
        ("recall", recall),
        ("learning", learning),
    ):
        if part in results:
            heading, *rest = lines(results[part])
            yield heading
            yield from stamped(results.get("stamps", {}).get(part))
            yield from rest


def pairs(found):
    """Yield the lines that compare two contenders."""
    yield "### Side by side\n"
    yield (
        "| | slots, steps, batch | ms a step | | slots, steps, batch | ms a step "
        "| times faster |"
    )
    yield "|---|---|---|---|---|---|---|"
    lines = []
    for pair in found:
        cells = []
        for place, (name, size) in enumerate(
            zip(pair["names"], pair["sizes"], strict=True)
        ):
            ms = statistics.median(turn[place] for turn in pair["ms"])
            name += " (forward alone)" if pair["kind"] == "forward" else ""
            cells += [name, f"{size['slots']:,}, {size['time']}, {size['batch']}"]
            cells += [f"{ms:.3f}"]
        cells.append(f"{faster(pair):.2f}")
        lines.append("| " + " | ".join(cells) + " |")
        if pair["bytes"]:
            ours, theirs = pair["bytes"]
            lines.append(
                f"| the same, XLA's arguments and buffers | | {ours / 1e6:.1f} MB "
                f"| | | {theirs / 1e6:.0f} MB | {theirs / ours:.0f} |"
            )
    yield from lines
    yield ""


def faster(pair):
    """How many times faster the first is: the median of the rounds' ratios."""
    return statistics.median(theirs / ours for ours, theirs in pair["ms"])


def large(found):
    """Yield the lines of a million slots."""
    yield "### A million slots: 1,048,576, 100 steps, batch 1\n"
    yield "| | first training step, s | later ones, s | peak of the process, GiB |"
    yield "|---|---|---|---|"
    for name, answer in found.items():
        peak = answer["peak_bytes"] / 2**30
        cells = [name, f"{answer['first']:.1f}", f"{answer['seconds']:.2f}"]
        yield "| " + " | ".join([*cells, f"{peak:.2f}"]) + " |"
    yield ""


def growth(found):
    """Yield the lines of the table against slots."""
    slots = sorted({int(n) for many in found.values() for n in many})
    for what, title in (
        ("ms", "Milliseconds per time step, forward and backward"),
        ("bytes", "Memory that training 100 steps adds to the process, MB"),
    ):
        yield f"### {title}\n"
        yield "| slots | " + " | ".join(f"{n:,}" for n in slots) + " |"
        yield "|---" * (len(slots) + 1) + "|"
        for name, many in found.items():
            cells = [shown(many.get(str(n)), what) for n in slots]
            yield f"| {name} | " + " | ".join(cells) + " |"
        yield ""


def shown(answer, what):
    """Return one cell of the table, empty if nothing was measured."""
    if answer is None:
        return ""
    value = answer[what]
    return f"{value:.3f}" if what == "ms" else f"{value / 1e6:.0f}"


def recall(found):
    """Yield the lines of the shares that hashing finds."""
    cosines = list(next(iter(next(iter(found.values())).values())))
    yield "### Recall of hashing\n"
    yield (
        "Columns are cosines between a key and its row. First figure: share of keys "
        "whose most similar slot is found. Second: share of the four most similar "
        "slots.\n"
    )
    yield "| slots | tables | " + " | ".join(cosines) + " |"
    yield "|---" * (len(cosines) + 2) + "|"
    for slots, by_tables in found.items():
        for tables, shares in by_tables.items():
            cells = [f"{best:.2f}, {four:.2f}" for best, four in shares.values()]
            yield f"| {int(slots):,} | {tables} | " + " | ".join(cells) + " |"
    yield ""


def learning(found):
    """Yield the lines of the results of associative recall."""
    yield "### Learning: associative recall, doubling the number of items\n"
    yield "| | items learned: seconds | total, s | bits per bit |"
    yield "|---|---|---|---|"
    for name, metrics in found.items():
        levels = ", ".join(f"{n}: {seconds}" for n, seconds in metrics["levels"])
        cells = [name, levels, f"{metrics['seconds']:.0f}"]
        yield "| " + " | ".join([*cells, f"{metrics['bits_per_bit']:.4f}"]) + " |"
    yield ""


def draw(found, path):
    """Draw time and memory against slots, both axes logarithmic."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    labels = ("milliseconds a step", "bytes added by training 100 steps")
    for axis, what, label in zip(axes, ("ms", "bytes"), labels, strict=True):
        for name, many in found.items():
            slots = sorted(many, key=int)
            axis.loglog(
                *([int(n) for n in slots], [many[n][what] for n in slots]),
                *("o-",),
                label=name,
            )
        axis.set_xscale("log", base=2)
        axis.set_xlabel("slots of the memory")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_title("Time of forward and backward pass")
    axes[1].set_title("Memory")
    axes[0].legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
