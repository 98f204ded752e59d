"""Metrics of the papers, as Keras metrics."""

from typing import Any

import keras
from keras import ops

from keras_dnc.arguments import positive_integer


@keras.saving.register_keras_serializable(package="keras_dnc")
class QuestionError(keras.metrics.Metric):
    """Fraction of questions answered wrong; every word of an answer must be right.

    Pass it as a weighted metric: a question is a run of steps whose weight is above 0,
    as `keras_dnc.tasks.babi` encodes them.

    Args:
        unknown: Number that stands for every unknown word; an answer that has it is
            never right. `None` for none.
        name: Name of the metric.
        **kwargs: `dtype`, as in `keras.metrics.Metric`.

    Call arguments of `update_state`:
        y_true: `(batch, time)`, the right words' numbers.
        y_pred: `(batch, time, words)`, scores.
        sample_weight: `(batch, time)`, above 0 where an answer is asked for.

    Raises:
        ValueError: No sample weight.

    Example:
        >>> import numpy as np
        >>> scores = np.eye(3)[[[0, 1, 0, 2]]]  # says 0 1 0 2
        >>> weights = np.array([[1, 1, 0, 1]])  # asks for two words, then for one
        >>> metric = QuestionError()
        >>> metric.update_state(np.array([[0, 2, 0, 2]]), scores, weights)
        >>> float(metric.result())
        0.5
    """

    def __init__(
        self, unknown: int | None = None, name: str = "question_error", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.unknown = unknown
        self.wrong = self.add_variable((), initializer="zeros", name="wrong")
        self.total = self.add_variable((), initializer="zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count questions, and those with a wrong word."""
        if sample_weight is None:
            raise ValueError(
                "Argument `sample_weight` must mark the answers. Pass this metric to "
                "`compile(weighted_metrics=...)`. Received: sample_weight=None"
            )
        asked = ops.convert_to_tensor(sample_weight) > 0
        said = ops.argmax(y_pred, axis=-1)
        y_true = ops.cast(y_true, said.dtype)
        is_wrong = asked & (y_true != said)
        if self.unknown is not None:
            is_wrong = is_wrong | (asked & (y_true == self.unknown))
        before = ops.pad(asked, [(0, 0), (1, 0)])[:, :-1]
        starts = ops.reshape(asked & ~before, (-1,))
        question = ops.cumsum(ops.cast(starts, "int32"))
        wrong = ops.segment_sum(
            ops.cast(ops.reshape(is_wrong, (-1,)), "float32"),
            question,
            num_segments=ops.shape(question)[0] + 1,  # 0 is what precedes any question
        )
        self.wrong.assign_add(ops.sum(ops.cast(wrong > 0, self.dtype)))
        self.total.assign_add(ops.sum(ops.cast(starts, self.dtype)))

    def result(self):
        """Give wrong / total, 0 before any question."""
        return self.wrong / ops.maximum(self.total, 1.0)

    def get_config(self):
        """Give the constructor's arguments."""
        return {**super().get_config(), "unknown": self.unknown}


class _Answers(keras.metrics.Metric):
    """Base of metrics of a sequence's answer, in bits, averaged over sequences."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.sum = self.add_variable((), initializer="zeros", name="sum")
        self.count = self.add_variable((), initializer="zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add what the sequences of a batch give."""
        y_pred = ops.convert_to_tensor(y_pred)
        is_one = ops.convert_to_tensor(y_true) > 0.5
        right = ops.where(is_one, y_pred > 0, y_pred <= 0)  # NaN is neither
        wrong = ops.sum(1.0 - ops.cast(right, self.dtype), axis=-1)
        if sample_weight is not None:
            wrong = wrong * ops.cast(
                ops.convert_to_tensor(sample_weight) > 0, self.dtype
            )
        figures = self.of(ops.sum(wrong, axis=-1))
        self.sum.assign_add(ops.sum(figures))
        self.count.assign_add(ops.cast(ops.shape(figures)[0], self.dtype))

    def result(self):
        """Give the mean over sequences, 0 before any."""
        return self.sum / ops.maximum(self.count, 1.0)


@keras.saving.register_keras_serializable(package="keras_dnc")
class BitErrors(_Answers):
    """Wrong bits a sequence, of logits, where an answer is asked for.

    Pass it as a weighted metric, with the mask of the answer as the sample weight.

    Args:
        name: Name of the metric.
        **kwargs: `dtype`, as in `keras.metrics.Metric`.

    Call arguments of `update_state`:
        y_true: `(batch, time, channels)`, in [0, 1].
        y_pred: Logits, `(batch, time, channels)`; above 0 means 1.
        sample_weight: `(batch, time)`, above 0 where an answer is asked for; `None`
            for everywhere.

    Example:
        >>> import numpy as np
        >>> metric = BitErrors()
        >>> metric.update_state(np.ones((2, 3, 4)), -np.ones((2, 3, 4)))
        >>> float(metric.result())
        12.0

    References:
        - Graves et al. 2014, Neural Turing Machines, section 4.
    """

    def __init__(self, name: str = "bit_errors", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)

    @staticmethod
    def of(wrong):
        """Give the figure of each sequence with so many wrong bits."""
        return wrong


@keras.saving.register_keras_serializable(package="keras_dnc")
class ExactSequences(_Answers):
    """Fraction of sequences whose answer has no wrong bit, as `BitErrors` counts them.

    Args:
        name: Name of the metric.
        **kwargs: `dtype`, as in `keras.metrics.Metric`.

    Call arguments of `update_state`:
        y_true: `(batch, time, channels)`, in [0, 1].
        y_pred: Logits, `(batch, time, channels)`; above 0 means 1.
        sample_weight: `(batch, time)`, above 0 where an answer is asked for; `None`
            for everywhere.

    Example:
        >>> import numpy as np
        >>> metric = ExactSequences()
        >>> metric.update_state(np.ones((1, 3, 4)), np.ones((1, 3, 4)))
        >>> metric.update_state(np.ones((1, 3, 4)), -np.ones((1, 3, 4)))
        >>> float(metric.result())
        0.5
    """

    def __init__(self, name: str = "exact_sequences", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)

    @staticmethod
    def of(wrong):
        """Give the figure of each sequence with so many wrong bits."""
        return ops.cast(wrong == 0, "float32")


@keras.saving.register_keras_serializable(package="keras_dnc")
class InstanceAccuracy(keras.metrics.Metric):
    """Accuracy at the steps where a class is met for the k-th time in its sequence.

    The first can only be guessed; the second shows what was bound at first sight.

    Args:
        instance: The k, at least 1.
        name: Name of the metric; `None` for `instance_k`.
        **kwargs: `dtype`, as in `keras.metrics.Metric`.

    Call arguments of `update_state`:
        y_true: `(batch, time, classes)`, one-hot.
        y_pred: `(batch, time, classes)`, scores.
        sample_weight: `(batch, time)`, above 0 at steps that count; `None` for all.

    Raises:
        ValueError: `instance` is no positive integer.

    Example:
        >>> import numpy as np
        >>> labels = np.eye(2)[[[0, 0, 1, 0, 1]]]
        >>> says = np.eye(2)[[[1, 0, 1, 0, 0]]]
        >>> metric = InstanceAccuracy(2)  # steps 1 and 4
        >>> metric.update_state(labels, says)
        >>> float(metric.result())
        0.5

    References:
        - Santoro et al. 2016, One-shot learning with memory-augmented neural networks,
          table 1.
    """

    def __init__(self, instance: int, name: str | None = None, **kwargs: Any) -> None:
        self.instance = positive_integer("instance", instance)
        super().__init__(name=name or f"instance_{self.instance}", **kwargs)
        self.right = self.add_variable((), initializer="zeros", name="right")
        self.count = self.add_variable((), initializer="zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count the steps of this instance, and those answered right."""
        y_true = ops.cast(y_true, self.dtype)
        met = ops.sum(ops.cumsum(y_true, axis=1) * y_true, axis=-1)
        counts = ops.cast(met == self.instance, self.dtype)
        if sample_weight is not None:
            weights = ops.convert_to_tensor(sample_weight)
            counts = counts * ops.cast(weights > 0, self.dtype)
        is_right = ops.argmax(y_true, axis=-1) == ops.argmax(y_pred, axis=-1)
        self.right.assign_add(ops.sum(counts * ops.cast(is_right, self.dtype)))
        self.count.assign_add(ops.sum(counts))

    def result(self):
        """Give right / count, 0 before any."""
        return self.right / ops.maximum(self.count, 1.0)

    def get_config(self):
        """Give the constructor's arguments."""
        return {**super().get_config(), "instance": self.instance}
