"""Time the DNC of this package against others, on the same work, in one run.

    python benchmarks/run.py            # all sizes, cost against time and slots
    python benchmarks/run.py --sizes A  # one size

Every contender is a process of its own. They run in turn, for a third of a second or
two runs, round after round, so that a machine whose speed drifts drifts for all; each
round begins with another contender. A ratio is the median of the rounds' ratios.
Writes `results.json`, and from it the figures in `README.md` and the plot `speed.png`.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys

import report
import worker
from machine import installed
from machine import stamp

HERE = pathlib.Path(__file__).parent
SIZES = {
    "A": worker.Size(batch=16, time=20, slots=16, word=16, reads=4, units=64),
    "B": worker.Size(batch=16, time=100, slots=256, word=64, reads=4, units=256),
    "C": worker.Size(batch=16, time=100, slots=64, word=64, reads=4, units=256),
    "D": worker.Size(batch=4, time=1000, slots=128, word=64, reads=4, units=256),
}
OURS, PEER = "keras_dnc, TensorFlow with XLA", "dnc 1.1.0, PyTorch"
TIMES, SLOTS = (100, 200, 500, 1000, 2000), (16, 64, 256, 1024)


class Contender:
    """A worker process, a context; `options` are those of `subprocess.Popen`."""

    def __init__(self, name, size, **options):
        self.name = name
        command = [sys.executable, HERE / "worker.py", "--contender", name, "--size"]
        self.process = subprocess.Popen(
            [*map(str, (*command, *size))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **{"stderr": subprocess.DEVNULL, **options},
        )

    def run(self, what):
        """Run one `train` or `forward`; return the worker's answer."""
        with contextlib.suppress(BrokenPipeError):  # its answer may still be there
            self.process.stdin.write(what + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": self.silence()}
        if "error" in answer:
            raise RuntimeError(f"{self.name!r} stopped at {what!r}: {answer['error']}")
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def silence(self):
        """Say how a process ended that does not answer."""
        return f"no answer, exit code {self.process.wait()}; run worker.py alone"

    def close(self):
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


def installed_contenders(names):
    """Return the names of the contenders whose packages are installed; print others."""
    found = []
    for name in names:
        if absent := [p for p in worker.needed(name) if not installed(p)]:
            print(f"skipped: {name!r} needs {', '.join(absent)}", file=sys.stderr)
        else:
            found.append(name)
    return found


def measure(names, size, rounds, kinds=("train", "forward")):
    """Return each contender's seconds, first and later, and the memory it adds.

    A contender that fails has an `error` instead. Errors of `OURS` and `PEER`, without
    which there are no ratios, are raised.
    """
    results = {name: {} for name in names}
    with contextlib.ExitStack() as stack:
        contenders = [stack.enter_context(Contender(name, size)) for name in names]
        for kind in kinds:
            for number in range(1 + rounds):  # the first compiles, and is not timed
                print(f"  {kind}, round {number} of {rounds}", file=sys.stderr)
                start = number % len(contenders)
                for contender in contenders[start:] + contenders[:start]:
                    add_turn(results[contender.name], contender, kind)
    return results


def add_turn(result, contender, kind):
    """Let a contender run once, unless it has failed, and add its answer."""
    if "error" in result:
        return
    try:
        answer = contender.run(kind)
    except RuntimeError as error:
        if contender.name in (OURS, PEER):
            raise
        result.clear()
        result["error"] = str(error)
        return
    if kind not in result:
        result[kind] = {"first": answer["first"], "rounds": []}
        return
    result[kind]["rounds"].append(answer["seconds"])
    if kind == "train":
        result["added_bytes"] = answer["added_bytes"]


def growth(rounds):
    """Return milliseconds per step against time, and against slots, small batches."""
    by_time, by_slots = {}, {OURS: {}, PEER: {}}
    for time in TIMES:
        size = SIZES["D"]._replace(time=time)
        result = measure([OURS], size, rounds, ["train"])[OURS]["train"]
        by_time[time] = statistics.median(result["rounds"]) / time * 1e3
    for slots in SLOTS:
        size = SIZES["D"]._replace(time=50, slots=slots)
        for name, result in measure([OURS, PEER], size, rounds, ["train"]).items():
            seconds = statistics.median(result["train"]["rounds"])
            by_slots[name][slots] = seconds / size.time * 1e3
    return {"time": by_time, "slots": by_slots}


def main():
    """Measure the sizes that are named; keep the figures of the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    path = HERE / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {"sizes": {}}
    names = installed_contenders(worker.CONTENDERS)
    if PEER not in names:
        sys.exit("Ratios need the peer: pip install -r benchmarks/requirements.txt")
    for name in arguments.sizes:
        print(f"size {name}", file=sys.stderr)
        results["sizes"][name] = {
            "size": SIZES[name]._asdict(),
            "stamp": stamp(),
            "contenders": measure(names, SIZES[name], arguments.rounds),
        }
        path.write_text(json.dumps(results, indent=1))
    if arguments.growth and OURS in names:
        results["growth"] = growth(arguments.rounds)
        results["growth_stamp"] = stamp()
    path.write_text(json.dumps(results, indent=1))
    report.write(json.loads(path.read_text()), HERE)


if __name__ == "__main__":
    main()
