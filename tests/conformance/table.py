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
    """Run all roads and policies on this process's backend; return what they said."""
    import keras

    from tests.conformance import roads
    from tests.conformance.cases import CELLS

    makes = {**CELLS, "Keras LSTM": lambda: keras.layers.LSTMCell(8)}
    trials = {name: ("float32", road) for name, road in roads.ROADS.items()}
    trials |= {name: (name, roads.fit_save_load) for name in roads.POLICIES}
    found = {}
    bar = Console(stderr=True)
    for cell, make in track(makes.items(), description=backend, console=bar):
        for name, (policy, road) in trials.items():
            found[f"{cell}|{name}"] = said_by(road, policy, make)
    return found


def said_by(road, policy, make):
    """Return a tick, or the kind of the error."""
    from tests.conformance.harness import dtype_policy

    with tempfile.TemporaryDirectory() as folder, dtype_policy(policy):
        try:
            road(make, pathlib.Path(folder))
        except Exception as error:  # whatever it is, the table names it
            return type(error).__name__
    return "✓"


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
        print(json.dumps(measure(os.environ["KERAS_BACKEND"])))
        return
    found = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    for backend in sys.argv[1:] or BACKENDS:
        program = [sys.executable, "-m", "tests.conformance.table"]
        settings = {"KERAS_BACKEND": backend, "MEASURE": "1"}
        done = subprocess.run(
            program, env=os.environ | settings, stdout=subprocess.PIPE, check=True
        )
        found[backend] = json.loads(done.stdout.splitlines()[-1])
        MEASURED.write_text(json.dumps(found, indent=1) + "\n")
    (DOCS / "conformance.md").write_text(ABOVE.read_text() + "".join(tables(found)))


if __name__ == "__main__":
    main()
