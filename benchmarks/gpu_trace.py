"""Count the kernels that a GPU runs, in a trace of JAX's profiler.

The profiler writes a Chrome trace, `*.trace.json.gz`. Each GPU is a process in it,
`/device:GPU:0`, each of its streams a thread, `Stream #13(Compute)`, and each kernel a
complete event of such a thread. Copies and fills are events of streams, too.
"""

import gzip
import json
import pathlib
import tempfile


def traced(run):
    """Run a function once under JAX's profiler; return the kernels of the trace."""
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run()
        return kernels(events(folder))


def events(folder):
    """Return the events of all traces under a folder."""
    found = []
    for path in sorted(pathlib.Path(folder).rglob("*.trace.json.gz")):
        with gzip.open(path, "rt") as file:
            found += json.load(file)["traceEvents"]
    return found


def kernels(events):
    """Return number and microseconds of the kernels; `None` without a GPU's kernels."""
    streams = gpu_streams(events)
    times = [
        event["dur"]
        for event in events
        if event.get("ph") == "X"
        and (event["pid"], event.get("tid")) in streams
        and is_kernel(event)
    ]
    return {"kernels": len(times), "microseconds": sum(times)} if times else None


def gpu_streams(events):
    """Return `(process, thread)` of each stream of each GPU."""
    names = {
        (event["name"], event["pid"], event.get("tid", 0)): event["args"]["name"]
        for event in events
        if event.get("ph") == "M" and event["name"].endswith("_name")
    }
    gpus = {
        pid
        for (kind, pid, _), name in names.items()
        if kind == "process_name" and name.startswith("/device:GPU")
    }
    return {
        (pid, tid)
        for (kind, pid, tid), name in names.items()
        if kind == "thread_name" and pid in gpus and name.startswith("Stream")
    }


def is_kernel(event):
    """Whether an event of a stream is a kernel: not a copy, fill or allocation."""
    details = {name for name in event.get("args", {}) if name.endswith("_details")}
    return details <= {"kernel_details"} and not event["name"].startswith("Mem")


def step_bytes(cell, inputs):
    """Return the bytes that one compiled time step of a cell reads and writes.

    They are XLA's own count. A loop is counted as one step, however many it runs: so
    the step is compiled alone. The new states may take the place of the old ones.
    """
    import jax

    def step(states, inputs, trainable, others):
        return cell.stateless_call(trainable, others, inputs, states)[0]

    arguments = (
        cell.get_initial_state(batch_size=len(inputs)),
        inputs,
        [variable.value for variable in cell.trainable_variables],
        [variable.value for variable in cell.non_trainable_variables],
    )
    compiled = jax.jit(step, donate_argnums=0).lower(*arguments).compile()
    return (compiled.cost_analysis() or {}).get("bytes accessed")
