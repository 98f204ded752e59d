"""Our docstrings' sections, by the names that mkdocstrings knows."""

import re

import griffe

_SECTIONS = {
    "Example:": "Examples:",
    "Call arguments:": "Other Parameters: Call arguments",
}


class Sections(griffe.Extension):
    """Renames headings when the reference is made; the sources keep Keras's names."""

    def on_object(self, *, obj, **kwargs):
        """Rename the headings of one docstring."""
        if obj.docstring:
            for ours, theirs in _SECTIONS.items():
                pattern = rf"^{re.escape(ours)}$"
                text = re.sub(pattern, theirs, obj.docstring.value, flags=re.M)
                # Equations under each other are paragraphs of their own in Markdown.
                obj.docstring.value = text.replace("$$\n$$", "$$\n\n$$")
