"""A callback that shows a memory in TensorBoard while it learns."""

import os
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_dnc.arguments import positive_integer
from keras_dnc.inspect import views
from keras_dnc.inspect.plots import all_plots
from keras_dnc.inspect.trace import trace

_HISTOGRAMS = (
    "read_weights",
    "write_weights",
    "usage",
    "read_strengths",
    "write_strengths",
)


class MemoryTrace(keras.callbacks.Callback):
    """Pictures and histograms of one fixed batch, every few epochs.

    The batch runs step by step after the epoch; a training step costs what it did. The
    `tensorflow`, `tensorboard` and `matplotlib` packages are needed:
    `pip install keras_dnc[plot]`.

    Args:
        inputs: The model's inputs, one batch.
        log_dir: Folder for TensorBoard's files.
        every: Epochs between two looks; the first is after epoch `every`.
        layer: As in `trace`.
        labels: As in `plot_memory_use`, of the sequence that is drawn.
        sequence: Number of the sequence that is drawn; histograms are of all.

    Raises:
        ValueError: `every` is no positive integer; and as `trace` does, after an epoch.

    Example:
        ```python
        look = MemoryTrace(inputs[:8], "runs/copy/tensorboard", every=5)
        model.fit(inputs, targets, epochs=50, callbacks=[look])
        ```
    """

    def __init__(
        self,
        inputs: Any,
        log_dir: str | os.PathLike,
        every: int = 1,
        layer: str | None = None,
        labels: Iterable | None = None,
        sequence: int = 0,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.log_dir = str(log_dir)
        self.every = positive_integer("every", every)
        self.layer = layer
        self.labels = labels
        self.sequence = sequence

    def on_epoch_end(self, epoch, logs=None):
        """Look, and write what there is to see."""
        if (epoch + 1) % self.every:
            return
        import tensorflow as tf

        seen = trace(self.model, self.inputs, self.layer)
        writer = tf.summary.create_file_writer(self.log_dir)
        with writer.as_default(step=epoch + 1):
            for name in (*_HISTOGRAMS, *views.gates(seen)):
                if hasattr(seen, name):
                    tf.summary.histogram(f"memory/{name}", getattr(seen, name))
            for name, figure in all_plots(seen, self.labels, self.sequence):
                tf.summary.image(f"memory/{name}", _pixels(figure)[None])
        writer.close()


def _pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())
