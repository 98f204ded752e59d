"""Time and memory of the sparse cells against the number of slots, and against others.

    python benchmarks/sparse.py

Writes `sparse.json`, and from it the figures in `README.md` and the plot `slots.png`.
Contenders of a pair take turns, as in `run.py`.
"""

import argparse
import json
import pathlib
import sys

import report_sparse
import worker
from run import Contender

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


def growth():
    """Give milliseconds per step and added bytes, by contender and slots."""
    found = {}
    for name, (time, many) in GROWTH.items():
        found[name] = {}
        for slots in many:
            say(f"{name}, {slots} slots")
            timed = ask(name, ONE._replace(slots=slots, time=time))
            held = ask(name, ONE._replace(slots=slots))
            found[name][slots] = {
                "ms": 1e3 * timed["seconds"] / time,
                "bytes": held["added_bytes"],
            }
    return found


def ask(name, size, command="train"):
    """Run one contender alone."""
    contender = Contender(name, size)
    answer = contender.run(command)
    contender.close()
    return answer


def pair(ours, our_size, theirs, their_size, rounds, kind="train"):
    """Time two contenders in turn; on JAX, ask for XLA's bytes too."""
    sizes = [ONE._replace(**our_size), ONE._replace(**their_size)]
    say(f"{ours} {our_size} against {theirs} {their_size}")
    both = [Contender(*each) for each in zip((ours, theirs), sizes, strict=True)]
    for contender in both:
        contender.run(kind)
    seconds = [[c.run(kind)["seconds"] for c in both] for _ in range(rounds)]
    with_bytes = ours.endswith("JAX") and theirs.startswith("DNC")
    found = {
        "names": [ours, theirs],
        "kind": kind,
        "sizes": [size._asdict() for size in sizes],
        "ms": [
            [1e3 * s / size.time for s, size in zip(turn, sizes, strict=True)]
            for turn in seconds
        ],
        "bytes": [c.run("bytes")["bytes"] for c in both] if with_bytes else None,
    }
    for contender in both:
        contender.close()
    return found


def all_pairs(rounds):
    """Compare forward and backward passes; PyPI's `dnc` forward alone too."""
    peers = [each for each in PAIRS if each[2].startswith("dnc")]
    trained = [pair(*each, rounds) for each in PAIRS]
    return trained + [pair(*each, rounds, "forward") for each in peers]


def large():
    """Give a process's peak of memory at a million slots and 100 steps, both passes."""
    found = {}
    for name in LARGE:
        say(f"{name}, a million slots")
        answer = ask(name, ONE._replace(slots=2**20))
        found[name] = {k: answer[k] for k in ("first", "seconds", "peak_bytes")}
    return found


def learning():
    """Give what `train_sparse_recall.py` has left: an hour's work is not done here."""
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
    measures = {
        "pairs": lambda: all_pairs(arguments.rounds),
        "large": large,
        "growth": growth,
        "learning": learning,
        "recall": lambda: json.loads((HERE / "recall.json").read_text()),
    }
    for part in arguments.parts:
        results[part] = measures[part]()
        path.write_text(json.dumps(results, indent=1))
    report_sparse.write(json.loads(path.read_text()), HERE)


if __name__ == "__main__":
    main()
