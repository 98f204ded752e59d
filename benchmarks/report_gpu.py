"""Turn `gpu.json` into the section "On a GPU" of `README.md`.

python benchmarks/report_gpu.py
"""

import json
import pathlib
import statistics

from page import write_figures

OURS = "keras_dnc, JAX"
BFLOAT16 = "keras_dnc, JAX, bfloat16 controller"
PEER = "dnc 1.1.0, PyTorch"  # on a GPU, followed by its name for it
FLOOR = "keras.layers.LSTM, JAX"
NOTHING = "No GPU was available yet, so that there are no figures."
PARTS = {
    "sparse": "Sparse memories: batch {batch}, words of {word}, reads {reads}, "
    "units {units}",
    "product keys": "Product keys: {time} positions, {reads} heads of {units}, values "
    "of {word}",
}
TIMES = (
    "train, ms",
    "forward, ms",
    "first training step, s",
    "device memory of training, GB",
)


def write(results, folder):
    """Write the figures between the README's marks."""
    write_figures([*tables(results), ""], "gpu", folder)


def tables(results):
    """Yield the lines of all tables; one line where nothing was measured."""
    entries = list(results.get("measurements", {}).values())
    if not any("train" in entry for entry in entries):
        yield NOTHING
        return
    yield from heading(results, entries)
    for label in sorted({e["label"] for e in entries if e["part"] == "dense"}):
        yield from dense(
            [e for e in entries if (e["part"], e["label"]) == ("dense", label)]
        )
    for part in PARTS:
        yield from by_slots(part, [e for e in entries if e["part"] == part])
    yield from traced([e for e in entries if e.get("trace")])


def heading(results, entries):
    """Yield the line of devices and versions."""
    devices = sorted({entry["device"] for entry in entries if "device" in entry})
    versions = results["stamp"]["versions"].items()
    listed = ", ".join(f"{name} {version}" for name, version in versions)
    quick = " Tiny sizes, to try the program." if results["stamp"]["quick"] else ""
    yield f"Device: {', '.join(devices)}; {results['date']}; {listed}.{quick}"


def dense(entries):
    """Yield the lines of one size: ratios are those of the medians."""
    size = ", ".join(f"{key} {value}" for key, value in entries[0]["size"].items())
    yield f"\n### GPU, {entries[0]['label']}: {size}\n"
    yield from header("", *TIMES, "train, times faster than dnc", "forward", "note")
    peer = next((e for e in entries if e["contender"].startswith(PEER)), {})
    for entry in sorted(entries, key=place):
        ratios = [ratio(peer, entry, kind) for kind in ("train", "forward")]
        yield line(entry["contender"], *times(entry), *ratios, note(entry))


def place(entry):
    """Return where a contender stands in a table."""
    order = (OURS, BFLOAT16, PEER, FLOOR)
    name = entry["contender"].removesuffix(", CUDA")
    return order.index(name) if name in order else len(order)


def by_slots(part, entries):
    """Yield the lines of a part whose sizes differ in the number of slots."""
    if not entries:
        return
    yield f"\n### GPU, {PARTS[part].format(**entries[0]['size'])}\n"
    yield from header("", "slots", "steps", *TIMES, "note")
    for entry in sorted(entries, key=lambda e: (e["contender"], e["size"]["slots"])):
        size = entry["size"]
        cells = (entry["contender"], f"{size['slots']:,}", size["time"])
        yield line(*cells, *times(entry), note(entry))


def traced(entries):
    """Yield the lines of kernels and bandwidth, where a GPU's kernels were traced."""
    entries = [e for e in entries if e["trace"]["train"] or e["trace"]["forward"]]
    if not entries:
        return
    yield "\n### Kernels of one time step\n"
    columns = ("kernels", "their time, µs")
    yield from header(
        *("", "size", *(f"train: {c}" for c in columns)),
        *(f"forward: {c}" for c in columns),
        *("share of the forward pass's time", "forward: GB/s"),
    )
    for entry in entries:
        cells = [*per_step(entry, "train"), *per_step(entry, "forward")]
        cells += [share(entry), bandwidth(entry)]
        yield line(entry["contender"], entry["label"], *cells)


def per_step(entry, kind):
    """Return the number of kernels, and their microseconds, of one time step."""
    found, steps = entry["trace"][kind], entry["size"]["time"]
    if not found:
        return "", ""
    return f"{found['kernels'] / steps:.1f}", f"{found['microseconds'] / steps:.1f}"


def share(entry):
    """Return the share of a forward pass in which the device computes."""
    found = entry["trace"]["forward"]
    return (
        f"{found['microseconds'] / 1e6 / seconds(entry, 'forward'):.0%}"
        if found
        else ""
    )


def bandwidth(entry):
    """Return the bytes of a step over the time of its kernels."""
    found, moved = entry["trace"]["forward"], entry["trace"]["step_bytes"]
    if not found or not moved:
        return ""
    return f"{moved * entry['size']['time'] / found['microseconds'] / 1e3:.0f}"


def times(entry):
    """Return the cells of `TIMES`; empty where nothing was measured."""
    train, forward = ("train" in entry, "forward" in entry)
    held = entry.get("device_bytes")
    return (
        f"{1e3 * seconds(entry, 'train'):.2f}" if train else "",
        f"{1e3 * seconds(entry, 'forward'):.2f}" if forward else "",
        f"{entry['train']['first']:.1f}" if train else "",
        f"{held / 1e9:.2f}" if held else "",
    )


def seconds(entry, kind):
    """Return the median of the rounds."""
    return statistics.median(entry[kind]["rounds"])


def ratio(peer, entry, kind):
    """Return how many times faster than `peer`, if both were measured."""
    if kind not in peer or kind not in entry:
        return ""
    return f"{seconds(peer, kind) / seconds(entry, kind):.1f}"


def note(entry):
    """Return why a measurement is missing or not complete."""
    return entry.get("error", entry.get("skipped", "")).replace("|", "\\|")


def header(*names):
    """Yield the first two lines of a table."""
    yield line(*names)
    yield "|---" * len(names) + "|"


def line(*cells):
    """Return one line of a table."""
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    path = here / "gpu.json"
    write(json.loads(path.read_text()) if path.exists() else {}, here)
