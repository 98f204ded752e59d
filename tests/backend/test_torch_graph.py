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
    monkeypatch.setattr(torch_graph, "_WORTH", 0)


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


def test_operations_in_place_change_what_they_changed_before():
    def function(tensors):
        doubled = tensors[0] * 2.0
        view = doubled[0:1]
        doubled += 1.0
        return [view + 0.0, doubled, tensors[0] * 2.0]

    traced = backend.traced(function, Owner(), "in place")
    for _ in range(3):
        found = [t.tolist() for t in traced([tensor(1.0, 4.0)])]
        assert found == [[3.0], [3.0, 9.0], [2.0, 8.0]]


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
    monkeypatch.setattr(torch_graph, "_LARGE", 1)

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
    (use,) = torch_graph.uses_of(owner).values()
    targets = [node.target for node in use.graph.__self__.graph.nodes]
    names = [getattr(target, "__name__", "") for target in targets]
    assert [name for name in names if name.endswith("_")] == ["add_", "sub_"]


def test_autocast_and_symbolic_tensors_are_left_to_pytorch():
    import torch

    function = Counted()
    with torch.autocast("cpu"):
        backend.traced(function, Owner(), "sum")([tensor(1.0)], [tensor(1.0)])
    with keras.device("meta"):
        given = [ops.zeros((1,))], [ops.zeros((1,))]
        backend.traced(function, Owner(), "sum")(*given)
    assert torch_graph._is_plain(tensor(1.0))
    assert not torch_graph._is_plain(given[0][0])


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


def test_nothing_is_traced_under_autocast_or_within_another_trace():
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    function = Counted()
    traced = backend.traced(function, Owner(), "sum")
    with torch.autocast("cpu"):
        for _ in range(5):
            traced([tensor(1.0)], [tensor(1.0)])
    assert function.runs == 5

    def nested(x):
        traced = backend.traced(Counted(), Owner(), "sum")
        return [traced([x], [x])[0][0] for _ in range(3)][-1]

    make_fx(nested, tracing_mode="fake")(tensor(1.0))
    outer = backend.traced(lambda tensors: [nested(*tensors)], Owner(), "nested")
    expected = float(nested(tensor(1.0))[0])
    assert [float(outer([tensor(1.0)])[0][0]) for _ in range(3)] == [expected] * 3


def test_copies_and_files_of_an_owner_contain_no_graphs():
    owner = Owner()
    for _ in range(3):
        backend.traced(lambda tensors: [tensors[0] + 1.0], owner, "add")([tensor(1.0)])
    assert len(torch_graph.uses_of(owner)) == 1
    for other in (copy.deepcopy(owner), pickle.loads(pickle.dumps(owner))):
        assert len(torch_graph.uses_of(other)) == 0


def test_results_are_written_over_a_view_but_not_over_what_is_still_seen():
    from torch.fx.experimental.proxy_tensor import make_fx

    def function(x):
        doubled = x * 2.0
        view = ops.reshape(doubled, (3, 2))
        repeated = ops.broadcast_to(ops.sum(x), (3, 2))
        return [view + 1.0, repeated + 1.0, ops.reshape(x, (3, 2)) + 1.0]

    x = tensor(*range(6))
    module = make_fx(function, tracing_mode="fake")(x)
    expected = [t.tolist() for t in function(x)]
    large, torch_graph._LARGE = torch_graph._LARGE, 1
    try:
        torch_graph.simplify(module)
    finally:
        torch_graph._LARGE = large
    assert [t.tolist() for t in module.forward(x)] == expected
    assert x.tolist() == list(range(6))
    assert module.code.count("add_(") == 1
