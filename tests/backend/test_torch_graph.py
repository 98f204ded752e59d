"""Graphs of PyTorch operations return what the traced functions return."""

import copy
import gc
import pickle
import weakref

import keras
import numpy as np
import pytest
from keras import ops

from keras_dnc import backend
from keras_dnc.backend import torch_graph

pytestmark = pytest.mark.only("torch")


class Owner:
    pass


@pytest.fixture(autouse=True)
def _worth_tracing_at_once(monkeypatch):
    monkeypatch.setattr(torch_graph, "_CALLS_BEFORE_TRACING", 0)


def tensor(*numbers):
    return ops.convert_to_tensor(np.array(numbers, "float32"))


class Counted:
    """A function of two lists that counts how often Python runs it."""

    def __init__(self):
        self.runs = 0

    def __call__(self, ones, twos):
        self.runs += 1
        total = sum(ones)
        unused = ops.exp(total)  # noqa: F841
        scale = ops.sum(ops.arange(3, dtype="float32"))
        again = ops.tanh(total) + ops.tanh(total)
        return [again * scale, None], (ops.reshape(twos[0], (-1, 1)),)


def test_a_traced_function_returns_the_same_and_runs_no_python():
    function, plain = Counted(), Counted()
    traced = backend.traced(function, Owner(), key="sum")
    results = [traced([tensor(1.0 * n), tensor(2.0)], [tensor(n)]) for n in range(4)]
    assert function.runs == 2, "once as it is, once to be traced"
    for n, ((total, nothing), (column,)) in enumerate(results):
        (expected, _), (shaped,) = plain([tensor(1.0 * n), tensor(2.0)], [tensor(n)])
        assert nothing is None and column.shape == shaped.shape
        assert float(total[0]) == float(expected[0]) and float(column[0, 0]) == n


def test_graphs_are_kept_for_an_owner_and_a_key():
    owner, function = Owner(), Counted()
    given = [tensor(1.0)], [tensor(2.0)]
    for key, runs in [("a", 2), ("a", 2), ("b", 4)]:
        backend.traced(function, owner, key)(*given)
        assert function.runs == runs
    backend.traced(function, owner, "a")([tensor(1.0, 2.0)], [tensor(2.0)])
    assert function.runs == 6, "another shape"


def test_graphs_end_with_their_owner():
    owner = Owner()
    backend.traced(lambda tensors: [tensors[0] + 1.0], owner, "add")([tensor(1.0)])
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


def test_a_function_that_depends_on_values_runs_as_it_is():
    def sign(tensors):
        return [tensors[0] if float(tensors[0][0]) > 0 else -tensors[0]]

    traced = backend.traced(sign, Owner(), "sign")
    assert [float(traced([tensor(n)])[0][0]) for n in (3, -2, 5, -7)] == [3, 2, 5, 7]


def test_a_weight_that_is_no_argument_keeps_its_gradient():
    weight = keras.Variable(2.0)
    traced = backend.traced(lambda tensors: [tensors[0] * weight], Owner(), "weight")
    for _ in range(3):
        weight.value.grad = None
        traced([tensor(3.0)])[0].backward()
        assert float(weight.value.grad) == 3.0
        weight.assign_add(1.0)
    assert float(traced([tensor(3.0)])[0]) == 15.0


def test_a_gradient_that_is_stopped_stays_so():
    stop = lambda tensors: [tensors[0] * ops.stop_gradient(tensors[0])]  # noqa: E731
    traced = backend.traced(stop, Owner(), "stop")
    for _ in range(3):
        assert float(traced([tensor(3.0)])[0][0]) == 9.0
    x = tensor(3.0).requires_grad_()
    traced([x])[0].backward()
    assert float(x.grad[0]) == 3.0


def test_an_error_of_the_function_is_raised():
    traced = backend.traced(lambda tensors: [tensors[1]], Owner(), "second")
    for _ in range(2):
        with pytest.raises(IndexError):
            traced([tensor(1.0)])


def test_changes_in_place_are_made_for_inputs_of_any_layout():
    def function(tensors):
        doubled = tensors[0] * 2.0
        view = doubled.view(-1)
        view += 1.0
        return [doubled, tensors[0] * 2.0]

    traced = backend.traced(function, Owner(), "in place")
    for x in [ops.ones((2, 3))] * 3 + [ops.transpose(ops.ones((3, 2)))]:
        changed, unchanged = traced([x])
        assert changed.tolist() == [[3.0] * 3] * 2
        assert unchanged.tolist() == [[2.0] * 3] * 2


def test_views_as_another_dtype_are_traced():
    import torch

    bits = lambda tensors: [tensors[0].view(torch.int32) + 0]  # noqa: E731
    traced = backend.traced(bits, Owner(), "bits")
    assert [int(traced([tensor(1.0)])[0][0]) for _ in range(3)] == [0x3F800000] * 3


def test_the_oldest_graph_goes_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(torch_graph, "_MAX_GRAPHS", 2)
    owner, function = Owner(), Counted()
    for size, runs in [(1, 2), (2, 4), (1, 4), (3, 6), (2, 6), (1, 8)]:
        for _ in range(2):
            traced = backend.traced(function, owner, "sum")
            traced([ops.ones(size)], [ops.ones(size)])
        assert function.runs == runs
        assert len(torch_graph.entries_of(owner)) <= 2


def test_a_graph_keeps_only_the_constants_that_it_reads():
    def function(tensors):
        return [tensors[0] + ops.sum(ops.ones((5, 7)) * 2.0)]

    owner = Owner()
    for _ in range(2):
        backend.traced(function, owner, "sum")([tensor(1.0)])
    (entry,) = torch_graph.entries_of(owner).values()
    module = entry.graph.__self__
    kept = [value for name, value in vars(module).items() if "constant" in name]
    assert [float(value) for value in kept] == [70.0]


def test_a_graph_contains_the_gradient_and_only_what_it_needs():
    from torch.fx.experimental.proxy_tensor import make_fx

    def gradient(x):
        cube = lambda tensors: ([ops.power(tensors[0], 3) + 5.0], [])  # noqa: E731
        return backend.vjp(cube, [x], [ops.ones((2,))])[0]

    module = make_fx(gradient, tracing_mode="fake")(tensor(1.0, 2.0))
    before = len(module.graph.nodes)
    torch_graph.simplify(module)
    assert len(module.graph.nodes) < before
    names = {str(node.target) for node in module.graph.nodes}
    assert not any("detach" in name or "ones" in name for name in names)
    assert module.forward(tensor(1.0, 2.0))[0].tolist() == [3.0, 12.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_results_are_written_over_tensors_that_are_not_used_any_more(
    dtype, monkeypatch
):
    monkeypatch.setattr(torch_graph, "_LARGE_SIZE", 1)

    def function(x, kept):
        doubled = x * 2.0
        shown = ops.transpose(doubled, (0, 2, 1))
        more = doubled + kept  # not over `doubled`, which `shown` shares
        more = kept - more
        return [shown, more * 3.0 + kept, more - kept]

    owner = Owner()
    traced = backend.traced(lambda tensors: function(*tensors), owner, "in place")
    x, kept = (ops.ones((2, 9, 9), dtype) * n for n in (3.0, 5.0))
    before = [t.tolist() for t in (x, kept)]
    expected = [t.tolist() for t in function(x, kept)]
    for _ in range(3):
        found = traced([x, kept])
        assert [t.tolist() for t in found] == expected
        assert [t.tolist() for t in (x, kept)] == before
    (entry,) = torch_graph.entries_of(owner).values()
    targets = [node.target for node in entry.graph.__self__.graph.nodes]
    names = [getattr(target, "__name__", "") for target in targets]
    assert [name for name in names if name.endswith("_")] == ["add_", "sub_"]


def test_symbolic_tensors_are_left_to_pytorch():
    function = Counted()
    with keras.device("meta"):
        given = [ops.zeros((1,))], [ops.zeros((1,))]
        for _ in range(3):
            backend.traced(function, Owner(), "sum")(*given)
    assert function.runs == 3


def test_graphs_are_compiled_only_within_torch_compile():
    import torch

    seen = []

    @backend.not_compiled
    def witness(x):
        seen.append(torch_graph._COMPILES.get())
        return x

    torch.compile(lambda x: witness(x) + 1.0, backend="eager")(tensor(1.0))
    witness(tensor(1.0))
    assert seen == [True, False], (
        "torch.compiler.is_compiling() is no longer true under torch.compile: "
        "jit_compile=True does not compile the steps of MemoryRNN on PyTorch"
    )


def test_constants_of_a_graph_from_inference_have_gradients_in_training():
    import torch

    weight = keras.Variable([2.0, 5.0])
    traced = backend.traced(lambda tensors: [ops.ones((2,)) * 3.0], Owner(), "threes")
    with torch.inference_mode():
        for _ in range(2):
            traced([tensor(1.0)])
    ops.sum(traced([tensor(1.0)])[0] * weight).backward()
    assert weight.value.grad.tolist() == [3.0, 3.0]


def test_nothing_is_traced_under_autocast():
    import torch

    function = Counted()
    traced = backend.traced(function, Owner(), "sum")
    with torch.autocast("cpu"):
        for _ in range(5):
            traced([tensor(1.0)], [tensor(1.0)])
    assert function.runs == 5


def test_nothing_is_traced_within_another_trace():
    inner = Owner()

    def nested(tensors):
        traced = backend.traced(Counted(), inner, "sum")
        return [traced(tensors, tensors)[0][0] for _ in range(3)]

    outer = backend.traced(nested, Owner(), "nested")
    for _ in range(3):
        backend.traced(nested, Owner(), "nested")([tensor(1.0)])
    found = [[float(t[0]) for t in outer([tensor(1.0)])] for _ in range(3)]
    assert found[0] == found[1] == found[2]


def test_copies_and_files_of_an_owner_contain_no_graphs():
    owner = Owner()
    for _ in range(3):
        backend.traced(lambda tensors: [tensors[0] + 1.0], owner, "add")([tensor(1.0)])
    assert len(torch_graph.entries_of(owner)) == 1
    for other in (copy.deepcopy(owner), pickle.loads(pickle.dumps(owner))):
        assert len(torch_graph.entries_of(other)) == 0


def test_results_are_written_over_a_view_but_not_over_an_argument(
    monkeypatch,
):
    from torch.fx.experimental.proxy_tensor import make_fx

    def function(x):
        doubled = x * 2.0
        view = ops.reshape(doubled, (3, 2))
        repeated = ops.broadcast_to(ops.sum(x), (3, 2))
        return [view + 1.0, repeated + 1.0, ops.reshape(x, (3, 2)) + 1.0]

    x = tensor(*range(6))
    module = make_fx(function, tracing_mode="fake")(x)
    expected = [t.tolist() for t in function(x)]
    monkeypatch.setattr(torch_graph, "_LARGE_SIZE", 1)
    torch_graph.simplify(module)
    assert [t.tolist() for t in module.forward(x)] == expected
    assert x.tolist() == list(range(6))
    assert module.code.count("add_(") == 1
