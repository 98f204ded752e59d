"""A paper's file holds its equations and nothing about back-propagation."""

import ast
import inspect
import pathlib

import pytest

import keras_dnc
from keras_dnc.cells.access import Access
from keras_dnc.cells.row_access import RowAccess

ROOT = pathlib.Path(keras_dnc.__file__).parent
FILES = sorted(
    [
        *(ROOT / "dnc").glob("*.py"),
        *(ROOT / "ntm").glob("*.py"),
        *(ROOT / "sparse").glob("*.py"),
        ROOT / "mann.py",
    ]
)
FORBIDDEN = {"recorded", "replay", "recall", "notes", "residual", "residuals"}
FORBIDDEN |= {"bptt", "backend", "vjp", "with_gradient", "keep", "keep_output"}
DENSE = ("self", "controls", "state", "found")
CONTRACT_OF_PARTS = {  # method -> arguments: of this step and of no earlier run
    "free": DENSE,
    "address": DENSE,
    "controls": ("self", "inputs"),
    "write": DENSE,
    "read": DENSE,
}
CONTRACT_OF_ROWS = {
    "select_writes": ("self", "state"),
    "write": ("self", "controls", "state", "rows"),
    "index": ("self", "state", "written", "active"),
    "select_reads": ("self", "controls", "state"),
    "read": ("self", "controls", "state", "rows", "words"),
    "finish": ("self", "state", "written", "active"),
}


def identifiers(tree):
    """Yield every name that code of the tree says."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "module"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield from value.split(".")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_name_of_back_propagation_is_used(path):
    used = set(identifiers(ast.parse(path.read_text())))
    assert not used & FORBIDDEN


def accesses(kind=Access):
    """List the memories of the papers: every subclass in the package."""
    found = [kind] if kind.__module__.startswith("keras_dnc.") else []
    return found + [x for child in kind.__subclasses__() for x in accesses(child)]


@pytest.mark.parametrize("kind", accesses(), ids=lambda kind: kind.__name__)
def test_a_step_takes_its_own_arguments_and_nothing_of_an_earlier_run(kind):
    of_rows = issubclass(kind, RowAccess)
    contract = CONTRACT_OF_ROWS if of_rows else CONTRACT_OF_PARTS
    own = {name: contract[name] for name in vars(kind) if name in contract}
    for name, arguments in own.items():
        assert tuple(inspect.signature(vars(kind)[name]).parameters) == arguments


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_paper_composes_its_own_step(path):
    """`step` of the base alone knows the order, and where values are kept."""
    classes = [n for n in ast.walk(ast.parse(path.read_text())) if is_access(n)]
    methods = [m for c in classes for m in c.body if isinstance(m, ast.FunctionDef)]
    assert not {"step", "step_on_rows", "rewrite"} & {m.name for m in methods}


def is_access(node):
    return isinstance(node, ast.ClassDef) and node.name.endswith("Access")
