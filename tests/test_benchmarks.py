"""The benchmarks' report says what was measured, and a worker answers."""

import gzip
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent.parent / "benchmarks"


def load(name):
    if str(FOLDER) not in sys.path:  # as when a program of the folder runs
        sys.path.append(str(FOLDER))
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def report():
    return load("report")


def found(seconds, added):
    timing = {"first": 2.0, "rounds": [seconds, 2 * seconds, 10 * seconds]}
    return {"train": timing, "forward": timing, "added_bytes": added}


def test_ratios_are_those_of_the_rounds_and_go_between_the_marks(report, tmp_path):
    contenders = {"ours": found(0.1, 1e9), report.PEER: found(0.4, 4e9)}
    results = {"sizes": {"A": {"size": {"batch": 2}, "contenders": contenders}}}
    marks = ("<!-- figures -->\n", "<!-- end of figures -->")
    (tmp_path / "README.md").write_text(f"before\n{marks[0]}old{marks[1]}\nafter")
    report.write(results, tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "| ours | 200.0 | 200.0 | 1.00 | 2.0 | 4.0 | 4.0 | 0.25 |" in page
    assert page.startswith("before") and page.endswith("after") and "old" not in page
    assert (tmp_path / "speed.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "kind,results",
    [
        ("report", "results"),
        ("report_sparse", "sparse"),
        ("product_key", "product_key"),
        ("serving", "serving"),
        ("runtimes", "runtimes"),
        ("report_gpu", "gpu"),
    ],
)
def test_the_figures_on_the_page_are_those_of_the_results(kind, results):
    path = FOLDER / f"{results}.json"
    measured = path.exists() or kind != "report_gpu"  # a GPU is not always there
    results = json.loads(path.read_text()) if measured else {}
    page = (FOLDER / "README.md").read_text()
    lines = list(load(kind).tables(results))
    assert len(lines) > 3 if measured else lines == [load(kind).NOTHING]
    assert all(line in page for line in lines)


def test_results_are_of_contenders_that_exist_and_of_the_last_recall():
    sizes = json.loads((FOLDER / "results.json").read_text())["sizes"]
    named = {name for size in sizes.values() for name in size["contenders"]}
    assert named - set(load("worker").CONTENDERS) == set()
    sparse = json.loads((FOLDER / "sparse.json").read_text())
    assert sparse["recall"] == json.loads((FOLDER / "recall.json").read_text())


class FakeContender:
    """A contender whose third run fails if it is called `broken`; `runs` has all."""

    runs = []

    def __init__(self, name, size):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.runs.append(f"{self.name} closed")

    def run(self, kind):
        self.runs.append(self.name)
        count = self.runs.count(self.name)
        if self.name == "broken" and count == 3:
            raise RuntimeError("no compiler")
        return {"first": 9.0, "seconds": float(count), "added_bytes": 5}


def test_every_round_begins_with_another_contender_and_an_error_is_kept(monkeypatch):
    run = load("run")
    monkeypatch.setattr(run, "Contender", FakeContender)
    monkeypatch.setattr(FakeContender, "runs", [])
    found = run.measure(["a", "broken", "c"], None, rounds=3, kinds=("train",))
    assert found["broken"] == {"error": "no compiler"}
    assert found["c"]["train"] == {"first": 9.0, "rounds": [2.0, 3.0, 4.0]}
    rounds = [["a", "broken", "c"], ["broken", "c", "a"], ["c", "a", "broken"]]
    expected = [name for names in rounds for name in names] + ["a", "c"]
    assert FakeContender.runs[:-3] == expected
    assert set(FakeContender.runs[-3:]) == {f"{n} closed" for n in ("a", "broken", "c")}


def test_an_error_has_a_row_without_figures(report):
    cells = report.row("ours", {"error": "no compiler"}, None).split("|")
    assert [cell.strip() for cell in cells] == ["", "ours", "no compiler", *[""] * 7]


def test_a_program_without_its_packages_ends_without_failure(capsys):
    with pytest.raises(SystemExit) as ended:
        load("machine").needs("json", "not_a_package")
    assert ended.value.code is None
    assert capsys.readouterr().err == "skipped: needs not_a_package\n"


def test_a_pair_is_compared_round_by_round():
    sizes = [{"slots": n, "time": 10, "batch": 2} for n in (4096, 64)]
    pair = {"names": ["ours", "theirs"], "kind": "forward", "sizes": sizes}
    pair |= {"ms": [[1.0, 8.0], [2.0, 10.0], [4.0, 8.0]], "bytes": [1e6, 30e6]}
    *_, timed, held, _ = load("report_sparse").tables({"pairs": [pair]})
    assert "| 2.000 |" in timed and "| 8.000 | 5.00 |" in timed
    assert "4,096, 10, 2" in timed and "ours (forward alone)" in timed
    assert "1.0 MB" in held and "| 30 MB | 30 |" in held


@pytest.mark.slow
@pytest.mark.only("tensorflow")
def test_a_worker_answers_with_seconds_and_bytes():
    command = [sys.executable, FOLDER / "worker.py", "--size", *"234414"]
    contender = ["--contender", "keras_dnc, TensorFlow with XLA"]
    root = str(FOLDER.parent)
    done = subprocess.run(
        [*map(str, command), *contender],
        input="train\nforward\n",
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2
    assert all(a["first"] > a["seconds"] > 0.0 for a in answers)
    assert answers[0]["added_bytes"] > 0


@pytest.fixture
def gpu(monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(FOLDER)
    yield load("gpu")
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").exists():
            del sys.modules[name]


def rerun(monkeypatch, gpu, path, **measured):
    """Run `gpu.py` after an earlier run; return the names of what it measures."""
    begun = []
    monkeypatch.setattr(gpu, "installed", lambda name: True)
    monkeypatch.setattr(gpu, "measure", lambda job, *_: begun.append(job.name) or {})
    arguments = ["--platform", "cpu", "--quick", "--only", "A: ", "--output", str(path)]
    stamp = gpu.stamp(gpu.parse(arguments))
    results = {"stamp": stamp, "date": "2026-11-28", "measurements": measured}
    path.write_text(json.dumps(results))
    gpu.main(arguments)
    return begun


def test_a_run_on_a_gpu_continues_where_it_was_killed(gpu, monkeypatch, tmp_path):
    names = [job.name for job in gpu.gpu_plan.jobs("cpu", quick=True)]
    names = [name for name in names if name.startswith("A")]
    timed = {"train": {"first": 2.0, "rounds": [1.0]}, "device": "cpu"}
    timed |= gpu.gpu_plan.jobs("cpu", quick=True)[0].described()
    path = tmp_path / "gpu.json"
    begun = rerun(monkeypatch, gpu, path, **{names[0]: timed})
    assert begun == names[1:] and len(names) == 4
    measurements = json.loads(path.read_text())["measurements"]
    assert measurements[names[0]] == timed and list(measurements) == names
    assert not path.with_suffix(".tmp").exists()


def test_what_does_not_fit_or_is_not_installed_is_named(gpu, monkeypatch):
    ours, peer, *_ = gpu.gpu_plan.jobs("gpu", quick=False)
    arguments = gpu.parse(["--platform", "cpu"])
    monkeypatch.setattr(gpu, "installed", lambda name: name != "dnc")
    assert peer.contender.endswith("CUDA")
    assert gpu.attempt(peer, 60.0, arguments) == {"skipped": "not installed: dnc"}
    assert gpu.attempt(ours, 5.0, arguments) == {"skipped": "not run"}
    late = {"error": "TimeoutError: stopped after 20 s", "train": {}}
    monkeypatch.setattr(gpu, "measure", lambda *_: dict(late))
    left = gpu.attempt(ours, 20.0, arguments)  # the run ends, so that another may try
    assert left == {"skipped": "not run to its end", "train": {}}
    assert gpu.attempt(ours, 500.0, arguments) == late


def test_results_of_other_versions_are_not_mixed(gpu, tmp_path):
    path = tmp_path / "gpu.json"
    gpu.save({"stamp": "old", "measurements": {"A": {}}}, path)
    with pytest.raises(ValueError, match="Argument `--output` must name results"):
        gpu.begin(path, "new", again=False)
    assert gpu.begin(path, "new", again=True)["measurements"] == {}
    assert gpu.begin(path, "old", again=False)["measurements"] == {"A": {}}


@pytest.mark.parametrize(
    "option,value", [("minutes", "-1"), ("rounds", "0"), ("only", "nothing")]
)
def test_the_options_of_a_run_on_a_gpu_are_checked(gpu, option, value, capsys):
    with pytest.raises(SystemExit):
        gpu.parse([f"--{option}", value])
    assert f"Argument `--{option}` must" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "program,limit,error",
    [
        ("raise MemoryError('out of memory\\nat this line')", 300.0, "out of memory"),
        ("import os; os.write(2, b'CUDA died'); os._exit(6)", 300.0, "exit code 6"),
        ("import time; time.sleep(60)", 2.0, "TimeoutError: stopped after 2 s"),
    ],
    ids=["raises", "crashes", "hangs"],
)
def test_an_error_of_a_measurement_is_kept(gpu, tmp_path, program, limit, error):
    (tmp_path / "dnc.py").write_text(program)
    _, job, *_ = gpu.gpu_plan.jobs("cpu", quick=False)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    found = gpu.measure(job, limit, 1, environment)
    assert set(found) == {"error"} and error in found["error"]
    assert "at this line" not in found["error"]
    if "CUDA" in program:
        assert found["error"].endswith("CUDA died")


@pytest.mark.slow
def test_a_run_on_a_gpu_works_without_a_gpu_and_without_tensorflow(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('not installed')")
    command = [sys.executable, FOLDER / "gpu.py", "--platform", "cpu", "--quick"]
    command += ["--only", "slots: ProductKeyMemory", "--limit", "300"]
    done = subprocess.run(
        [*map(str, command), "--output", str(tmp_path / "gpu.json")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    (found,) = json.loads((tmp_path / "gpu.json").read_text())["measurements"].values()
    assert "error" not in found and found["device"] == "cpu"
    assert all(found[k]["first"] > found[k]["rounds"][0] for k in ("train", "forward"))
    assert found["trace"] == {"train": None, "forward": None, "step_bytes": None}
    assert "ProductKeyMemory" in done.stdout and "ProductKeyMemory" in done.stderr


def test_kernels_are_counted_in_a_trace(tmp_path):
    def named(kind, pid, tid, name):
        place = {"ph": "M", "name": kind, "pid": pid, "tid": tid}
        return {**place, "args": {"name": name}}

    def ran(pid, tid, name, dur, **args):
        place = {"ph": "X", "pid": pid, "tid": tid, "ts": 5.0}
        return {**place, "name": name, "dur": dur, "args": args}

    events = [
        named("process_name", 1, 0, "/device:GPU:0"),
        named("thread_name", 1, 13, "Stream #13(Compute,MemcpyD2D)"),
        named("thread_name", 1, 99, "XLA Ops"),
        named("process_name", 7, 0, "/host:CPU"),
        named("thread_name", 7, 13, "python"),
        ran(1, 13, "loop_fusion", 2.5, hlo_op="fusion.1", kernel_details="grid:1"),
        ran(1, 13, "gemm_fusion", 4.0, hlo_op="dot.2"),
        ran(1, 13, "MemcpyD2D", 50.0, memcpy_details="size:8"),
        ran(1, 13, "fill", 50.0, Memset_details="size:8"),
        ran(1, 99, "fusion.1", 50.0, hlo_op="fusion.1"),
        ran(7, 13, "train_on_batch", 500.0),
        {},  # the last event of JAX's traces
    ]
    trace = load("gpu_trace")
    path = tmp_path / "plugins" / "profile" / "now" / "vm.trace.json.gz"
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt") as file:
        json.dump({"traceEvents": events}, file)
    found = trace.kernels(trace.events(tmp_path))
    assert found == {"kernels": 2, "microseconds": 6.5}
    assert trace.kernels(events[3:5] + events[10:]) is None


def test_tables_of_a_gpu_have_times_ratios_kernels_and_errors(gpu):
    ours, peer, floor, _, stopped, sam, *_ = gpu.gpu_plan.jobs("gpu", quick=False)
    trace = {"train": None, "forward": {"kernels": 5_000, "microseconds": 1_000.0}}

    def timed(job, seconds, **more):
        timing = {"first": 2.0, "rounds": [seconds, 9 * seconds, seconds / 9]}
        device = {"device": "H200", "device_bytes": 3e9}
        both = {"train": timing, "forward": timing}
        return {**job.described(), **both, **device, **more}

    entries = [
        timed(ours, 0.002, trace={**trace, "step_bytes": 2e6}),
        timed(peer, 0.5),
        {**floor.described(), "skipped": "not run"},
        {**stopped.described(), "error": "TimeoutError: stopped after 90 s"},
        timed(sam, 0.1, trace={**trace, "step_bytes": None}),
    ]
    results = {"measurements": {str(n): entry for n, entry in enumerate(entries)}}
    results |= {"date": "today", "stamp": {"versions": {"jax": "1"}, "quick": False}}
    page = "\n".join(gpu.report_gpu.tables(results))
    assert page.startswith("Device: H200; today; jax 1.")
    assert "| keras_dnc, JAX | 2.00 | 2.00 | 2.0 | 3.00 | 250.0 | 250.0 |  |" in page
    assert "| dnc 1.1.0, PyTorch, CUDA | 500.00 |" in page and "| 1.0 | 1.0 |" in page
    assert "| keras.layers.LSTM, JAX |  |  |  |  |  |  | not run |" in page
    assert "|  | TimeoutError: stopped after 90 s |" in page
    assert "| SAM, exact, JAX | 1,048,576 | 100 | 100.00 |" in page
    # 100 steps: 50 kernels and 10 microseconds in each, which move 2 MB.
    assert "| keras_dnc, JAX | B |  |  | 50.0 | 10.0 | 50% | 200 |" in page
    assert "| SAM, exact, JAX | 1,048,576 slots |  |  | 50.0 | 10.0 | 1% |  |" in page
