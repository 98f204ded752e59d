"""Docstrings as mkdocstrings needs them: complete, and with section names it knows."""

import importlib
import inspect
import re

import griffe

_SECTIONS = {
    "Example:": "Examples:",
    "Call arguments:": "Other Parameters: Call arguments",
}
_COMPLETES = {  # decorators of classes that take over the arguments of others
    "keras_dnc.signature.passes_on",
    "keras_dnc.cells.access_cell.cell_around",
}
_QUOTED_TYPE = re.compile(r"^(Returns:\n +)`([^`\n]+)`(?=:)", re.M)
_MODULE = re.compile(r"\b(?:\w+\.)+(?=\w)")


class Sections(griffe.Extension):
    """Edits docstrings when the reference is made; the sources keep Keras's names."""

    def on_object(self, *, obj, **kwargs):
        """Complete one class, and rename the headings of one docstring."""
        if obj.is_class and _COMPLETES & {d.callable_path for d in obj.decorators}:
            _complete(obj)
        if obj.docstring:
            for ours, theirs in _SECTIONS.items():
                pattern = rf"^{re.escape(ours)}$"
                text = re.sub(pattern, theirs, obj.docstring.value, flags=re.M)
                # Equations under each other are paragraphs of their own in Markdown.
                text = text.replace("$$\n$$", "$$\n\n$$")
                obj.docstring.value = _QUOTED_TYPE.sub(r"\1\2", text)


def _complete(found):
    """Take docstring and parameters from the imported class, whose decorator adds."""
    kind = getattr(importlib.import_module(found.module.path), found.name)
    found.docstring.value = kind.__doc__
    constructor = found.members["__init__"]
    named = {parameter.name: parameter for parameter in constructor.parameters}
    parameters = inspect.signature(kind).parameters.values()
    constructor.parameters = griffe.Parameters(
        named["self"], *(named.get(p.name) or _parameter(p) for p in parameters)
    )


def _parameter(added):
    """Return a parameter of a signature in the form that griffe has."""
    is_required = added.default is inspect.Parameter.empty
    return griffe.Parameter(
        added.name,
        kind=griffe.ParameterKind(added.kind.description),
        annotation=_MODULE.sub("", inspect.formatannotation(added.annotation)),
        default=None if is_required else repr(added.default),
    )
