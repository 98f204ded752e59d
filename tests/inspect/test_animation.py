"""animate_memory: every frame shows one step, and nothing of later ones."""

import numpy as np
import pytest

from keras_dnc.inspect import views
from keras_dnc.inspect.animation import Frames
from keras_dnc.inspect.animation import animate_memory
from keras_dnc.inspect.trace import trace
from tests.dnc.cells import random_cell


@pytest.fixture(scope="module")
def seen():
    rng = np.random.default_rng(7)
    return trace(random_cell(rng, num_writes=2), rng.normal(size=(2, 6, 5)))


def test_a_frame_shows_the_memory_and_the_heads_of_its_step(seen):
    frames = Frames(seen, None, [*"abcdef"], sequence=1, title="")
    frames.show(3)
    right = frames.figure.axes[-1]
    slots = views.slots_in_use(seen, 1)
    words = right.images[0].get_array()
    np.testing.assert_allclose(words, seen.memory[1, 3, slots], rtol=1e-6)
    assert right.get_xlabel().endswith("memory after step 3: d")
    marks = np.array([head.get_sizes() for head in right.collections])
    weights = np.concatenate([seen.write_weights[1, 3], seen.read_weights[1, 3]])
    np.testing.assert_allclose(marks, 90.0 * weights[:, slots], rtol=1e-5)
    names = [text.get_text() for text in right.get_legend().get_texts()]
    assert names == ["writes", "reads"]


def test_later_steps_are_covered(seen):
    frames = Frames(seen, np.zeros((2, 6, 3)), None, sequence=0, title="")
    *left, _ = frames.figure.axes
    assert [axis.get_ylabel().split()[0] for axis in left] == [
        *("input", "writes", "reads", "output")
    ]
    for step in (0, 5):
        frames.show(step)
        for axis in left:
            (cover,) = axis.patches
            assert cover.get_x() == step + 0.5 and cover.get_zorder() > 1
            assert cover.get_x() + cover.get_width() >= 5.5


def test_a_gif_has_a_frame_for_each_step(seen, tmp_path):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "memory.gif"
    animate_memory(seen, seconds=0.2).save(path, writer="pillow", dpi=30)
    with image.open(path) as movie:
        assert movie.n_frames == 6 and movie.info["duration"] == 200


def test_arguments_that_do_not_fit_are_refused(seen):
    with pytest.raises(ValueError, match="one label for each step.*6. Received: 2"):
        animate_memory(seen, labels="ab")
    with pytest.raises(ValueError, match="`sequence` must be .* 0 to 1.*Received"):
        animate_memory(seen, sequence=2)
