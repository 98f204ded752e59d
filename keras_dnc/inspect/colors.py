"""Colours of every picture of a memory, in figures and in the report.

White is zero everywhere, and darker is larger, so that pictures can be printed in grey.
Heads have colours of Okabe and Ito's palette, which colour-blind readers distinguish:
write heads are blue, read heads are not.

References:
    - Okabe and Ito 2008, Color universal design.
    - van der Walt and Smith 2015, A better default colormap for matplotlib (viridis).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap

# Values from 0 to 1: viridis, reversed, and faded to white below a half.
SEQUENTIAL = (
    *("#ffffff", "#e3f6dd", "#b5e6c6", "#7ccdb4", "#4caca2", "#26828e"),
    *("#2e6d8e", "#39558c", "#433d84", "#482071", "#440154"),
)
# Values from -bound to bound: ColorBrewer's RdBu, exactly white at 0.
DIVERGING = (
    *("#67001f", "#b2182b", "#d6604d", "#f4a582", "#fddbc7", "#ffffff"),
    *("#d1e5f0", "#92c5de", "#4393c3", "#2166ac", "#053061"),
)
WRITE_HEADS = ("#0072b2", "#56b4e9")
READ_HEADS = ("#d55e00", "#009e73", "#cc79a7", "#e69f00")
MODES = ("#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#595959")
CURSOR = "#595959"  # the line at the current step
GRID = "#e0e0e0"


def heads(verb: str) -> tuple[str, ...]:
    """Return the colours of the heads that may share a panel.

    Args:
        verb: `"read"` or `"write"`.

    Returns:
        Colours as `"#rrggbb"`, the first head first.

    Example:
        >>> heads("write")[0]
        '#0072b2'
    """
    return WRITE_HEADS if verb == "write" else READ_HEADS


def scale_of_head(color: str) -> tuple[str, ...]:
    """Return the colours of a head's weights from 0 to 1.

    Args:
        color: Colour of the head as `"#rrggbb"`.

    Returns:
        White, then the colour.

    Example:
        >>> scale_of_head("#0072b2")
        ('#ffffff', '#0072b2')
    """
    return "#ffffff", color


def scale(signed: bool) -> tuple[str, ...]:
    """Return evenly spaced colours from the least to the largest value.

    Args:
        signed: Whether values may be negative.

    Returns:
        Colours as `"#rrggbb"`: diverging from white at 0 if signed, otherwise from
        white at 0 to dark.

    Example:
        >>> scale(signed=False)[0], scale(signed=True)[5]
        ('#ffffff', '#ffffff')
    """
    return DIVERGING if signed else SEQUENTIAL


def colormap(colors: tuple[str, ...]) -> LinearSegmentedColormap:
    """Return a matplotlib colour map through evenly spaced colours.

    Args:
        colors: Colours as `"#rrggbb"`, that of the least value first.

    Returns:
        `matplotlib.colors.LinearSegmentedColormap`.

    Example:
        >>> from matplotlib.colors import to_hex
        >>> to_hex(colormap(("#ffffff", "#0072b2"))(1.0))
        '#0072b2'
    """
    from matplotlib.colors import LinearSegmentedColormap

    # Matplotlib 3.8 takes a tuple of two for a colour and its transparency.
    return LinearSegmentedColormap.from_list("keras_dnc", list(colors))
