"""Time and memory of the sparse cells against the number of slots, and against others.

    python benchmarks/sparse.py

Writes `sparse.json`, and from it the figures in `README.md` and the plot `slots.png`.
Contenders of a pair run in turn, as in `run.py`; those whose packages are not installed
are skipped.
"""

import argparse
import itertools
import json
import pathlib
import statistics
import sys

import report_sparse
import worker
from machine import stamp
from run import Contender
from run import installed_contenders

HERE = pathlib.Path(__file__).parent
ONE = worker.Size(batch=1, time=100, slots=1024, word=32, reads=4, units=100)
MANY = [2**power for power in range(10, 21, 2)]
GROWTH = {  # contender: (steps of the timed run, slots)
    "SAM, exact": (200, MANY),
    "SAM, lsh": (1000, MANY),
    "SDNC, lsh": (1000, MANY),
    "NTM, dense": (50, MANY[:3]),
    "DNC, dense": (50, [1024, 2048]),
}
LONG = {"slots": 65_536, "time": 50}
LINKED = {"slots": 2048, "time": 10, "batch": 8}
PAIRS = [  # ours, its size, theirs, its size
    ("SAM, lsh", {"slots": 2**20, "time": 1000}, "SAM, lsh", {"time": 1000}),
    ("SAM, lsh, JAX", {"slots": 2**20, "time": 1000}, "SAM, lsh, JAX", {"time": 1000}),
    ("SAM, exact", LONG, "NTM, dense", LONG),
    ("SAM, exact, JAX", LONG, "NTM, dense, JAX", LONG),
    ("SDNC, exact", LINKED, "DNC, dense, in keras.layers.RNN", LINKED),
    ("SDNC, exact, JAX", LINKED, "DNC, dense, in keras.layers.RNN, JAX", LINKED),
    *(
        (f"{cell}, exact", size, f"dnc 1.1.0 {cell}", size)
        for cell in ("SAM", "SDNC")
        for size in ({"time": 20}, {"slots": 16_384, "time": 20})
    ),
]
LARGE = ["SAM, exact", "SAM, lsh", "SAM, lsh, JAX", "SDNC, lsh"]


def growth(rounds):
    """Return milliseconds per step and added bytes, by contender and slots."""
    found = {}
    for name in installed_contenders(GROWTH):
        time, many = GROWTH[name]
        found[name] = {}
        for slots in many:
            say(f"{name}, {slots} slots")
            timed = ask(name, ONE._replace(slots=slots, time=time), rounds)
            held = ask(name, ONE._replace(slots=slots), rounds=1)
            found[name][slots] = {
                "ms": 1e3 * timed["seconds"] / time,
                "bytes": held["added_bytes"],
            }
    return found


def ask(name, size, rounds):
    """Train one contender alone; its seconds are the median of the rounds."""
    with Contender(name, size) as contender:
        first = contender.run("train")
        answers = [contender.run("train") for _ in range(rounds)]
    seconds = statistics.median(answer["seconds"] for answer in answers)
    return {**answers[-1], "first": first["first"], "seconds": seconds}


def pair(ours, our_size, theirs, their_size, rounds, kind="train"):
    """Time two contenders in turn; on JAX, ask for XLA's bytes too."""
    sizes = [ONE._replace(**our_size), ONE._replace(**their_size)]
    say(f"{ours} {our_size} against {theirs} {their_size}")
    with Contender(ours, sizes[0]) as first, Contender(theirs, sizes[1]) as second:
        both = (first, second)
        for contender in both:
            contender.run(kind)
        seconds = [[c.run(kind)["seconds"] for c in both] for _ in range(rounds)]
        with_bytes = ours.endswith("JAX") and theirs.startswith("DNC")
        held = [c.run("bytes")["bytes"] for c in both] if with_bytes else None
    return {
        "names": [ours, theirs],
        "kind": kind,
        "sizes": [size._asdict() for size in sizes],
        "ms": [
            [1e3 * s / size.time for s, size in zip(turn, sizes, strict=True)]
            for turn in seconds
        ],
        "bytes": held,
    }


def all_pairs(rounds):
    """Compare forward and backward passes; PyPI's `dnc` forward alone too."""
    both = [(ours, theirs) for ours, _, theirs, _ in PAIRS]
    there = installed_contenders(dict.fromkeys(itertools.chain(*both)))
    pairs = [each for each in PAIRS if each[0] in there and each[2] in there]
    peers = [each for each in pairs if each[2].startswith("dnc")]
    trained = [pair(*each, rounds) for each in pairs]
    return trained + [pair(*each, rounds, "forward") for each in peers]


def large(rounds):
    """Return a process's peak of memory at a million slots, 100 steps, both passes."""
    found = {}
    for name in installed_contenders(LARGE):
        say(f"{name}, a million slots")
        answer = ask(name, ONE._replace(slots=2**20), rounds)
        found[name] = {k: answer[k] for k in ("first", "seconds", "peak_bytes")}
    return found


def learning():
    """Return the results of `train_sparse_recall.py`, which takes an hour."""
    folder = HERE.parent / "examples" / "results" / "sparse-recall"
    return {
        path.parent.name: json.loads(path.read_text())
        for path in sorted(folder.glob("*/metrics.json"))
    }


def say(text):
    """Show progress."""
    print(f"  {text}", file=sys.stderr, flush=True)


def main():
    """Measure all, or the parts that are named; keep what was measured of the rest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ["growth", "pairs", "large", "recall", "learning"]
    parser.add_argument("--parts", nargs="*", choices=parts, default=parts[:3])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    path = HERE / "sparse.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    timed = {"pairs": all_pairs, "large": large, "growth": growth}
    read = {
        "learning": learning,
        "recall": lambda: json.loads((HERE / "recall.json").read_text()),
    }
    stamps = results.setdefault("stamps", {})
    for part in arguments.parts:
        if part in timed:
            results[part], stamps[part] = timed[part](arguments.rounds), stamp()
        else:
            results[part] = read[part]()
        path.write_text(json.dumps(results, indent=1))
    report_sparse.write(json.loads(path.read_text()), HERE)


if __name__ == "__main__":
    main()
