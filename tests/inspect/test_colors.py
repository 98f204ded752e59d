"""colors: pictures are legible in grey and for colour-blind readers."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from keras_dnc.inspect import colors

# Viénot, Brettel and Mollon 1999: linear RGB as seen without long or medium cones.
SEEN_BY = {
    "everyone": np.eye(3),
    "protanopes": [
        [0.11238, 0.88762, 0],
        [0.11238, 0.88762, 0],
        [0.00401, -0.00401, 1],
    ],
    "deuteranopes": [
        [0.29275, 0.70725, 0],
        [0.29275, 0.70725, 0],
        [-0.02234, 0.02234, 1],
    ],
}


def linear(color):
    values = np.array(to_rgb(color))
    return np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)


def lightness(color):
    """CIE L*, from 0 to 100."""
    luminance = linear(color) @ [0.2126, 0.7152, 0.0722]
    return 116.0 * np.cbrt(luminance) - 16.0


def test_larger_values_are_darker_in_grey():
    for scale in (colors.SEQUENTIAL, colors.DIVERGING[5:], colors.DIVERGING[5::-1]):
        steps = np.diff([lightness(color) for color in scale])
        assert scale[0] == "#ffffff" and np.all(steps < -3.0)


@pytest.mark.parametrize("eyes", SEEN_BY)
def test_heads_that_share_a_panel_differ_for_all_readers(eyes):
    seen = {
        color: (np.array(SEEN_BY[eyes]) @ linear(color)).clip(0, 1) ** (1 / 2.4)
        for color in (*colors.WRITE_HEADS, *colors.READ_HEADS)
    }
    for verb in ("write", "read"):
        for one, other in itertools.combinations(colors.heads(verb), 2):
            assert np.linalg.norm(seen[one] - seen[other]) > 0.12, (one, other)
        for color in colors.heads(verb):
            assert lightness(color) < 75.0, "too pale on white"
