"""Keras callbacks for networks that learn in lessons."""

import keras


class StopAt(keras.callbacks.Callback):
    """Ends training once a figure is good enough: a lesson that has been learned.

    Args:
        monitor: Name of a figure in the logs, such as `"val_question_error"`.
        value: Training ends after the first epoch with a figure of at most this.

    Raises:
        ValueError: At an epoch's end, if the logs have no such figure.

    Example:
        ```python
        stop = keras_dnc.StopAt("val_question_error", 0.05)
        model.fit(lesson, validation_data=held_out, epochs=100, callbacks=[stop])
        ```
    """

    def __init__(self, monitor: str, value: float) -> None:
        super().__init__()
        self.monitor = monitor
        self.value = value

    def on_epoch_end(self, epoch, logs=None):
        """Compare."""
        if monitored(logs, self.monitor) <= self.value:
            self.model.stop_training = True


def monitored(logs, monitor):
    """Give the figure `monitor` of an epoch's logs, or raise a `ValueError`."""
    logs = logs or {}
    if monitor not in logs:
        raise ValueError(
            f"Argument `monitor` must be one of {sorted(logs)}. "
            f"Received: monitor={monitor!r}"
        )
    return logs[monitor]
