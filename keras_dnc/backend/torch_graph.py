"""Functions as graphs of PyTorch operations, which run without the Python between them.

PyTorch runs `keras.ops` eagerly: each call checks its arguments, and each call of a
layer takes half a millisecond. In one step of a memory, that is several times as long
as the arithmetic. A step is therefore traced, once for each set of shapes, into a list
of the operations that PyTorch has run, those of the backward pass included. The list is
simplified: computations whose values are not used are removed, constants are computed
once, and large results are written over tensors that are not used any more. The
remaining operations return the same numbers as before.

A function that cannot be traced, because its operations depend on values of tensors,
runs as it is.

PyTorch's own passes are not used: `torch.fx.passes.reinplace` does not work with these
graphs, and the constant folding of `torch._inductor` takes two seconds to import.
"""

import contextvars
import dataclasses
import functools
import logging
import math
import threading
import types
from collections.abc import Callable, Hashable
from typing import Any

from keras_dnc.backend import TRACED_ATTRIBUTE
from keras_dnc.typing import Tensor, Tensors

_CALLS_BEFORE_TRACING = 100  # take about as long as tracing
_LARGE_SIZE = 65_536  # numbers; smaller tensors are in the cache of a processor
_MAX_GRAPHS = 64  # of one owner: a process may see many batch sizes

_LOG = logging.getLogger(__name__)
_TRACING = threading.Lock()  # PyTorch patches its modules while it traces
_COMPILES = contextvars.ContextVar("compiles", default=False)


def with_compiled_graphs(function: Callable) -> Callable:
    """Return a function during which `torch.compile` compiles new graphs.

    Args:
        function: Any function or method.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        token = _COMPILES.set(True)
        try:
            return function(*args, **kwargs)
        finally:
            _COMPILES.reset(token)

    return run


@dataclasses.dataclass
class _Entry:
    """How a function is run for one set of shapes.

    Attributes:
        untraced: Number of calls before the function is traced.
        graph: The traced function of a flat list of tensors; `None` before that, or if
            the function cannot be traced.
    """

    untraced: float
    graph: Callable | None = None


class _Entries(dict[Hashable, _Entry]):
    """The entries of one owner, none in copies and files of it."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Entries, ()


def entries_of(owner: Any) -> _Entries:
    """Return the dict of an owner, which lives as long as it does."""
    # Keras would track an attribute that is set in the usual way.
    return vars(owner).setdefault(TRACED_ATTRIBUTE, _Entries())


class Traced:
    """A function of lists of tensors that is traced after some calls.

    Where PyTorch records a gradient, the function runs as it is.

    Args:
        function: Function of lists of tensors that returns nested lists and tuples of
            tensors and of `None`. The lists have the same lengths, and their tensors
            the same shapes and dtypes, in every call of this object.
        owner: Object whose graphs are kept as long as it lives.
        key: Everything else that the operations of the function depend on.
    """

    def __init__(self, function: Callable, owner: Any, key: Hashable) -> None:
        self._compiles = _COMPILES.get()
        self._function, self._key = function, (key, self._compiles)
        self._known = entries_of(owner)
        self._entry: _Entry | None = None

    def __call__(self, *parts: Tensors) -> Any:
        """Return the result of the function."""
        entry = self._entry = self._entry or self._find(parts)
        tensors = [tensor for part in parts for tensor in part]
        if _needs_gradient(tensors):
            return self._function(*parts)
        if entry.graph is not None:
            return entry.graph(*tensors)
        entry.untraced -= 1
        if entry.untraced < 0:
            entry.untraced = math.inf
            entry.graph = _graph(self._function, parts, self._compiles)
        return self._function(*parts)

    def _find(self, parts: tuple[Tensors, ...]) -> _Entry:
        """Return the entry for the shapes of these tensors."""
        if not all(_is_plain(tensor) for part in parts for tensor in part):
            return _Entry(math.inf)
        shapes = tuple(
            tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in part)
            for part in parts
        )
        key = self._key, shapes
        if key not in self._known and len(self._known) >= _MAX_GRAPHS:
            self._known.pop(next(iter(self._known)), None)  # the oldest
        return self._known.setdefault(key, _Entry(_CALLS_BEFORE_TRACING))


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor has values, and no autocast changes its operations."""
    import torch

    is_plain = type(tensor) in (torch.Tensor, torch.nn.Parameter)
    device = tensor.device.type
    return is_plain and device != "meta" and not torch.is_autocast_enabled(device)


def _needs_gradient(tensors: Tensors) -> bool:
    """Return whether PyTorch records a gradient, which a graph does not."""
    import torch

    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _graph(
    function: Callable, parts: tuple[Tensors, ...], compiles: bool
) -> Callable | None:
    """Trace a function; return the graph as a function, or `None` without success."""
    import torch

    with _TRACING, torch.inference_mode(False), torch.no_grad():
        module = _module(function, parts)
        if module is None:
            return None
        simplify(module)
    return torch.compile(module, dynamic=False) if compiles else module.forward


def _module(function: Callable, parts: tuple[Tensors, ...]) -> Any:
    """Return the operations of a function as a `torch.fx.GraphModule`, or `None`.

    Operations that change tensors are replaced by those that return new ones.
    """
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    def flat(*tensors: Tensor) -> Any:
        remaining = iter(tensors)
        return function(*[[next(remaining) for _ in part] for part in parts])

    # Values are hidden, so that no branch of the function is taken for good.
    trace = functools.partial(make_fx, tracing_mode="fake")
    tensors = [tensor.detach() for part in parts for tensor in part]
    try:
        module = trace(flat)(*tensors)
        if any(_is_mutable(node) for node in module.graph.nodes):
            module = trace(torch.func.functionalize(module))(*tensors)
        return module
    except Exception as error:  # of any kind: calls of the function raise their own
        _LOG.debug("%r runs untraced: %s", function, error)
        return None


def simplify(module: Any) -> None:
    """Remove operations of a graph without effect, and call the others directly.

    Args:
        module: `torch.fx.GraphModule` of ATen operations that change no tensor; it is
            changed in place.
    """
    graph = module.graph
    graph.eliminate_dead_code()
    _remove_copies(graph)
    _insert_constants(module, _constant_values(module))
    graph.eliminate_dead_code()
    _reuse_memory(graph)
    for node in graph.nodes:
        node.target = _direct(node)
        node.meta.clear()  # shapes, which are not used any more
    module.recompile()
    used = {node.target for node in graph.nodes if node.op == "get_attr"}
    for name, constant in list(module.named_buffers()):
        delattr(module, name)
        if name in used:
            vars(module)[name] = constant  # ten times as fast to look up as a buffer


def _schema(node: Any) -> Any:
    """Return the schema of an ATen operation, or `None` of any other node."""
    return getattr(node.target, "_schema", None)


def _is_mutable(node: Any) -> bool:
    """Return whether an operation changes an argument."""
    schema = _schema(node)
    return schema is not None and schema.is_mutable


def _remove_copies(graph: Any) -> None:
    """Remove operations that return their first argument."""
    import torch

    aten = torch.ops.aten
    copies = {aten.detach.default, aten.alias.default}
    shaping = {
        aten.view.default,
        aten._unsafe_view.default,
        aten.expand.default,
        aten.slice.Tensor,
        aten.slice_backward.default,
    }
    for node in graph.nodes:
        source: Any = node.args[0] if node.args else None
        is_copy = node.target in copies
        if node.target in shaping:
            is_copy = node.meta["val"].shape == source.meta["val"].shape
        if is_copy:
            node.replace_all_uses_with(source)
            graph.erase_node(node)


def _constant_values(module: Any) -> dict[Any, Any]:
    """Compute the operations without variable arguments; return values by node."""
    import torch

    values: dict[Any, Any] = {}
    for node in module.graph.nodes:
        random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        known = all(source in values for source in node.all_input_nodes)
        if node.op == "get_attr":
            values[node] = getattr(module, node.target)
        elif node.op == "call_function" and known and not random:
            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), values.get)
            values[node] = node.target(*args, **kwargs)
    return values


def _insert_constants(module: Any, values: dict[Any, Any]) -> None:
    """Replace operations by their values."""
    import torch

    for number, (node, value) in enumerate(values.items()):
        if node.op == "call_function" and isinstance(value, torch.Tensor):
            module.register_buffer(f"constant_{number}", value)
            with module.graph.inserting_before(node):
                constant = module.graph.get_attr(f"constant_{number}")
            constant.meta = dict(node.meta)
            node.replace_all_uses_with(constant)


def _reuse_memory(graph: Any) -> None:
    """Write large results over arguments that are not used any more.

    A new tensor of the size of the links costs more time than the arithmetic on it.
    """
    import torch

    owners: dict[Any, Any] = {}
    last: dict[Any, Any] = {}  # operation that uses the memory of an owner last
    for node in graph.nodes:
        for source in node.all_input_nodes:
            last[owners[source]] = node
        owners[node] = owners[node.all_input_nodes[0]] if _shares(node) else node
    for node in graph.nodes:
        for source, other in _operands(node):
            owner = owners[source]
            is_free = owner.op == "call_function" and last[owner] is node
            if is_free and owners.get(other) is not owner:
                node.target = getattr(torch.Tensor, f"{node.target._opname}_")
                node.args = (source, other)
                break


def _shares(node: Any) -> bool:
    """Return whether the result of an operation may share memory with an argument."""
    schema = _schema(node)
    shares = schema is None or any(r.alias_info is not None for r in schema.returns)
    return bool(node.all_input_nodes) and (shares or "view" in str(node.target))


def _operands(node: Any) -> list[tuple[Any, Any]]:
    """Return pairs of an argument that can be written over, and the other argument.

    Only large results of elementwise operations have one.
    """
    import torch

    aten = torch.ops.aten
    commutes = {aten.add.Tensor: True, aten.mul.Tensor: True, aten.sub.Tensor: False}
    if node.target not in commutes or node.kwargs:
        return []
    if node.meta["val"].numel() < _LARGE_SIZE:
        return []
    pairs = [node.args, node.args[::-1]] if commutes[node.target] else [node.args]
    return [pair for pair in pairs if _fits(node, pair[0])]


def _fits(node: Any, source: Any) -> bool:
    """Return whether a result can be written over an argument, by its layout."""
    import torch

    if not isinstance(source, torch.fx.Node):
        return False
    new, old = node.meta["val"], source.meta["val"]
    return (new.shape, new.dtype) == (old.shape, old.dtype) and old.is_contiguous()


def _direct(node: Any) -> Any:
    """Return the function of the module `torch` for an ATen operation, if it has one.

    A call of it takes half as long as that of the operation.
    """
    import torch

    schema, aten = _schema(node), torch.ops.aten
    if node.target in (aten.view.default, aten._unsafe_view.default):
        return torch.reshape  # of tensors in any order of axes
    if schema is None or node.kwargs:
        return node.target
    function = getattr(torch, schema.name.removeprefix("aten::"), None)
    return function if isinstance(function, types.BuiltinFunctionType) else node.target
