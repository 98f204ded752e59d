"""A callback that shows a memory in TensorBoard during training."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_dnc.arguments import natural_number
from keras_dnc.arguments import positive_integer
from keras_dnc.inspect import views
from keras_dnc.inspect.plots import all_plots
from keras_dnc.inspect.trace import trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HISTOGRAMS = (
    "read_weights",
    "write_weights",
    "usage",
    "read_strengths",
    "write_strengths",
)


class MemoryTrace(keras.callbacks.Callback):
    """Write plots and histograms of the memory on one fixed batch, every few epochs.

    The model runs step by step on the batch at the end of an epoch, so training steps
    are not slowed down. The callback needs the `tensorflow`, `tensorboard` and
    `matplotlib` packages: `pip install keras_dnc[plot]`.

    Args:
        inputs: One batch of inputs of the model.
        log_dir: Folder for the event files of TensorBoard.
        every: Number of epochs from one recording to the next; the first follows epoch
            `every`, counted from 1. Defaults to 1.
        layer: Name of the recurrent layer to record, needed if the model has several.
            `"rnn/1"` is the second of the stacked cells of the layer `"rnn"`. `None`
            for the only one. Defaults to `None`.
        labels: Tokens of the plotted sequence, one for each step, to show below the
            time axis; or `None`. Defaults to `None`.
        sequence: Index of the plotted sequence in the batch; histograms cover the
            whole batch. Defaults to 0.

    Raises:
        ValueError: If `every` is not a positive integer, or `sequence` not an integer
            of at least 0. The other arguments are not checked until the end of an
            epoch: then, if the model has no memory layer named `layer`, or `labels` or
            `sequence` do not fit the inputs.

    Example:
        ```python
        recorder = MemoryTrace(inputs[:8], "runs/copy/tensorboard", every=5)
        model.fit(inputs, targets, epochs=50, callbacks=[recorder])
        ```
    """

    def __init__(
        self,
        inputs: Any,
        log_dir: str | os.PathLike[str],
        every: int = 1,
        layer: str | None = None,
        labels: Iterable[Any] | None = None,
        sequence: int = 0,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.log_dir = str(log_dir)
        self.every = positive_integer("every", every)
        self.layer = layer
        self.labels = None if labels is None else list(labels)
        self.sequence = natural_number("sequence", sequence)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the batch and write plots and histograms, if this epoch is due.

        Args:
            epoch: Index of the epoch, from 0.
            logs: Metrics of the epoch; not used. Defaults to `None`.
        """
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


def _pixels(figure: "Figure") -> np.ndarray:
    """Return a figure as an RGBA image, `(height, width, 4)`."""
    canvas: Any = figure.canvas  # a `FigureCanvasAgg`, which alone has a buffer
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
