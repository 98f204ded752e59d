"""Write the table of what works around each cell to `docs/conformance.md`.

    python -m tests.conformance.table
    python -m tests.conformance.table jax

With names of backends it measures these again. It takes half an hour for each, in a
process of its own: Keras has one backend.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from rich.console import Console
from rich.progress import track

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
DOCS = pathlib.Path(__file__).parents[2] / "docs"
MEASURED = DOCS / "conformance.json"
ABOVE = pathlib.Path(__file__).with_name("table.md")  # the text above the tables


def measure(backend):
    """Run all roads and policies on this process's backend; print each result."""
    import keras

    from tests.conformance import roads
    from tests.conformance.cases import CELLS

    makes = {**CELLS, "Keras LSTM": lambda: keras.layers.LSTMCell(8)}
    trials = {name: ("float32", road) for name, road in roads.ROADS.items()}
    trials |= {name: (name, roads.fit_save_load) for name in roads.POLICIES}
    pairs = [(cell, name) for cell in makes for name in trials]
    for cell, name in track(pairs, backend, console=Console(stderr=True)):
        policy, road = trials[name]
        said = said_by(road, policy, makes[cell])
        print(json.dumps({f"{cell}|{name}": said}), flush=True)
        keras.backend.clear_session()


def said_by(road, policy, make):
    """Return a tick, or the kind of the error."""
    from tests.conformance.harness import dtype_policy

    with tempfile.TemporaryDirectory() as folder, dtype_policy(policy):
        try:
            road(make, pathlib.Path(folder))
        except Exception as error:  # whatever it is, the table names it
            return type(error).__name__
    return "✓"


def collect(backend, found):
    """Measure one backend in a process of its own, and keep each result at once."""
    settings = {"KERAS_BACKEND": backend, "MEASURE": "1"}
    program = [sys.executable, "-m", "tests.conformance.table"]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, env=os.environ | settings, stdout=pipe) as process:
        for line in process.stdout:
            if line.startswith(b'{"'):
                found.setdefault(backend, {}).update(json.loads(line))
                MEASURED.write_text(json.dumps(found, indent=1) + "\n")
    if process.returncode:
        raise SystemExit(f"The process of {backend} failed: {process.returncode}")


def tables(found):
    """Yield one Markdown table for each backend, a row for each road."""
    for backend, title in BACKENDS.items():
        if backend not in found:
            continue
        keys = [key.split("|") for key in found[backend]]
        cells = list(dict.fromkeys(cell for cell, _ in keys))
        roads = list(dict.fromkeys(road for _, road in keys))
        yield f"\n## {title}\n\n| | {' | '.join(cells)} |\n|---{'|---' * len(cells)}|\n"
        for road in roads:
            row = [found[backend][f"{cell}|{road}"] for cell in cells]
            yield f"| {road} | {' | '.join(row)} |\n"


def main():
    if os.environ.get("MEASURE"):  # in a process of one backend
        measure(os.environ["KERAS_BACKEND"])
        return
    found = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    for backend in sys.argv[1:] or BACKENDS:
        collect(backend, found)
    (DOCS / "conformance.md").write_text(ABOVE.read_text() + "".join(tables(found)))


if __name__ == "__main__":
    main()
