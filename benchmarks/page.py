"""The page of the benchmarks, whose figures stand between marks."""

import re


def stamped(stamp):
    """Yield the line with date, machine and versions, if there is a stamp."""
    if stamp is not None:
        names = [f"{name} {version}" for name, version in stamp["versions"].items()]
        yield f"{stamp['date']}, {stamp['processor']}; {', '.join(names)}.\n"


def write_figures(lines, mark, folder):
    """Write lines between the README's marks `<!-- mark -->`, in place of others."""
    path = folder / "README.md"
    marks = rf"(<!-- {mark} -->\n).*(<!-- end of {mark} -->)"
    figures = "\n".join([*lines, ""])
    page, count = re.subn(
        marks, lambda m: m[1] + figures + m[2], path.read_text(), flags=re.DOTALL
    )
    assert count == 1, f"{path} has no place for the figures"
    path.write_text(page)
