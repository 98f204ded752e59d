"""Measure everything that needs a GPU, in one run of at most 8 minutes.

    python benchmarks/gpu.py                         # on a GPU
    python benchmarks/gpu.py --platform cpu --quick  # try the program without one

Needs JAX and PyTorch with CUDA, keras, this package or its sources, and PyPI's `dnc`;
not TensorFlow. Contenders that are not installed are skipped.

Each measurement is a process of its own with a time limit. `gpu.json` is written after
each, so that a run that is killed keeps what it has measured, and the next run goes on
from there. The figures in `README.md` are made from it, by `report_gpu.py`, too.
"""

import argparse
import datetime
import json
import os
import pathlib
import sys
import tempfile
import threading
import time

import gpu_plan
import report_gpu
import worker
from machine import installed
from machine import versions
from run import Contender

HERE = pathlib.Path(__file__).parent
LEAST = 15.0  # seconds that must be left to begin one: less than a process needs
PATIENCE = 10.0  # seconds of one command, after which no round is added
GPU_PACKAGES = ("jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "torch")
GPU_PACKAGES += ("numpy", "keras", "keras_dnc", "dnc")


def measure(job, limit, rounds, environment):
    """Return what one process answers within the limit, and why it stopped early."""
    found, over = {}, threading.Event()
    with tempfile.TemporaryFile("w+") as said:
        options = {"stderr": said, "env": environment}
        contender = Contender(job.contender, job.size, **options)
        timer = threading.Timer(limit, lambda: (over.set(), contender.process.kill()))
        timer.start()
        try:
            ask_all(contender, found, rounds)
        except RuntimeError as error:
            found["error"] = str(error) + last_line(said)
            if over.is_set():
                found["error"] = f"TimeoutError: stopped after {limit:.0f} s"
        finally:
            contender.close()
            timer.cancel()
    return found


def ask_all(contender, found, rounds):
    """Put into `found` the times of training and forward passes, and their traces."""
    for kind in ("train", "forward"):
        start, answer = time.monotonic(), contender.run(kind)
        found[kind] = {"first": answer["first"], "rounds": [answer["seconds"]]}
        times = found[kind]["rounds"]
        while len(times) < rounds and time.monotonic() - start < PATIENCE:
            times.append(contender.run(kind)["seconds"])
        if kind == "train":
            found |= contender.run("device")
    if worker.ALL[contender.name][0] == "jax":
        found["trace"] = contender.run("trace")


def last_line(file):
    """Return the last line of a process that crashed; an exception's is known."""
    file.seek(0)
    text = file.read().strip()
    return "" if not text or "Traceback" in text else f": {text.splitlines()[-1]}"


def attempt(job, left, arguments):
    """Return a measurement, or why there is none."""
    absent = [n for n in worker.needed(job.contender) if not installed(n)]
    if absent:
        return {"skipped": f"not installed: {', '.join(absent)}"}
    if left < LEAST:
        return {"skipped": "not run"}
    environment = worker_environment(arguments.platform)
    limit = arguments.limit
    found = measure(job, min(limit, left), arguments.rounds, environment)
    if left < limit and found.get("error", "").startswith("TimeoutError"):
        # Cut short by the end of the run, not by its own limit: the next one tries it.
        del found["error"]
        found["skipped"] = "not run to its end"
    return found


def worker_environment(on):
    """Return a worker's variables: JAX must fail rather than fall back to a CPU."""
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "JAX_PLATFORMS": {"gpu": "cuda", "cpu": "cpu"}[on],
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


def stamp(arguments):
    """Return what figures of one file share. Processes name their device."""
    chosen = {"platform": arguments.platform, "quick": arguments.quick}
    return {**chosen, "versions": versions(GPU_PACKAGES)}


def begin(path, stamp, again):
    """Return the results of an earlier run if it has this stamp, or empty ones."""
    fresh = {"stamp": stamp, "date": str(datetime.date.today()), "measurements": {}}
    if not path.exists():
        return fresh
    old = json.loads(path.read_text())
    if old["stamp"] == stamp:
        return old
    if again:
        return fresh
    raise ValueError(
        "Argument `--output` must name results with the same platform, sizes and "
        f"versions, {stamp}, unless `--again` is given. Received: --output={path} "
        f"with {old['stamp']}"
    )


def save(results, path):
    """Write the results aside and replace the file: no reader finds half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(results, indent=1))
    os.replace(aside, path)


def run_all(chosen, results, arguments):
    """Measure what the results lack, until the minutes are over."""
    from rich.console import Console
    from rich.progress import Progress

    measured = results["measurements"]
    for job in chosen:
        if arguments.again or job.name not in measured:
            measured[job.name] = job.described() | {"skipped": "not run"}
    end = time.monotonic() + 60.0 * arguments.minutes
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(chosen))
        for job in chosen:
            progress.update(task, description=job.name)
            if "skipped" in measured[job.name]:
                entry = attempt(job, end - time.monotonic(), arguments)
                measured[job.name] = job.described() | entry
                save(results, arguments.output)
            progress.advance(task)


def parse(argv):
    """Return the arguments, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--platform", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round")
    parser.add_argument("--minutes", type=float, default=8.0, help="of the run: 8")
    parser.add_argument("--limit", type=float, default=90.0, help="seconds of each: 90")
    parser.add_argument("--rounds", type=int, help="3, or 1 with --quick")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names")
    parser.add_argument("--again", action="store_true", help="measure all anew")
    parser.add_argument("--output", type=pathlib.Path, help="where the results are")
    arguments = parser.parse_args(argv)
    if arguments.rounds is None:
        arguments.rounds = 1 if arguments.quick else 3
    for name in ("minutes", "limit", "rounds"):
        if (value := getattr(arguments, name)) <= 0:
            rule = f"Argument `--{name}` must be positive."
            parser.error(f"{rule} Received: --{name}={value}")
    arguments.jobs = [
        job
        for job in gpu_plan.jobs(arguments.platform, arguments.quick)
        if any(text in job.name for text in arguments.only)
    ]
    if not arguments.jobs:
        rule = "Argument `--only` must have a part of a measurement's name."
        parser.error(f"{rule} Received: --only={arguments.only}")
    arguments.output = arguments.output or default_output(arguments)
    return arguments


def default_output(arguments):
    """Return the file that the page is made from for figures of a GPU alone."""
    if arguments.platform == "gpu" and not arguments.quick:
        return HERE / "gpu.json"
    kind = f"{arguments.platform}{'-quick' if arguments.quick else ''}"
    return HERE.parent / "build" / f"gpu-{kind}.json"


def main(argv=None):
    """Measure what is asked for and is not in the results; show all that they have."""
    from rich.console import Console
    from rich.markdown import Markdown

    arguments = parse(argv)
    results = begin(arguments.output, stamp(arguments), arguments.again)
    run_all(arguments.jobs, results, arguments)
    if arguments.output == HERE / "gpu.json":
        report_gpu.write(results, HERE)
    width = None if sys.stdout.isatty() else 160  # a file's 80 would cut the tables
    Console(width=width).print(Markdown("\n".join(report_gpu.tables(results))))


if __name__ == "__main__":
    main()
