"""The metrics of the papers, as Keras metrics."""

from typing import Any

import keras
from keras import ops

from keras_dnc.arguments import natural_number
from keras_dnc.arguments import positive_integer
from keras_dnc.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_dnc")
class QuestionError(keras.metrics.Metric):
    """Fraction of questions with a wrong answer; every word of an answer must be right.

    A question is a run of adjacent steps with a weight above 0, as `encode_story` of
    `keras_dnc.tasks.babi` marks them. Pass the metric to
    `compile(weighted_metrics=...)`, so that it receives the weights.

    Args:
        unknown: Index of the unknown word; an answer that contains it counts as wrong.
            Defaults to `None`, for no such word.
        name: Name of the metric. Defaults to `"question_error"`.
        **kwargs: Keyword arguments of `keras.metrics.Metric`: `dtype`.

    Call arguments of `update_state`:
        y_true: `(batch, time)`, indices of the correct words.
        y_pred: `(batch, time, words)`, logits or probabilities.
        sample_weight: `(batch, time)`, above 0 at answer steps.

    Raises:
        ValueError: `unknown` is neither `None` nor an integer of at least 0, or
            `sample_weight` is `None`.

    Example:
        >>> import numpy as np
        >>> scores = np.eye(3)[[[0, 1, 0, 2]]]  # predicts 0 1 0 2
        >>> weights = np.array([[1, 1, 0, 1]])  # an answer of two words, one of one
        >>> metric = QuestionError()
        >>> metric.update_state(np.array([[0, 2, 0, 2]]), scores, weights)
        >>> float(metric.result())
        0.5
    """

    def __init__(
        self, unknown: int | None = None, name: str = "question_error", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.unknown = None if unknown is None else natural_number("unknown", unknown)
        self.wrong = self.add_variable((), initializer="zeros", name="wrong")
        self.total = self.add_variable((), initializer="zeros", name="total")

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Count the questions of a batch, and those with a wrong word.

        Args:
            y_true: `(batch, time)`, indices of the correct words.
            y_pred: `(batch, time, words)`, logits or probabilities.
            sample_weight: `(batch, time)`, above 0 at answer steps.

        Raises:
            ValueError: `sample_weight` is `None`.
        """
        if sample_weight is None:
            raise ValueError(
                "Argument `sample_weight` must mark the answers. Pass this metric to "
                "`compile(weighted_metrics=...)`. Received: sample_weight=None"
            )
        is_answer = ops.convert_to_tensor(sample_weight) > 0
        is_wrong = is_answer & self._is_wrong_word(y_true, y_pred)
        is_start = ops.reshape(is_answer & ~_previous(is_answer), (-1,))
        question = ops.cumsum(ops.cast(is_start, "int32"))
        wrong_words = ops.segment_sum(
            ops.cast(ops.reshape(is_wrong, (-1,)), "float32"),
            question,
            num_segments=ops.shape(question)[0] + 1,  # 0 precedes the first question
        )
        self.wrong.assign_add(ops.sum(ops.cast(wrong_words > 0, self.dtype)))
        self.total.assign_add(ops.sum(ops.cast(is_start, self.dtype)))

    def _is_wrong_word(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return where the prediction is wrong or the correct word is unknown."""
        predicted = ops.argmax(y_pred, axis=-1)
        y_true = ops.cast(y_true, predicted.dtype)
        is_wrong = y_true != predicted
        return is_wrong if self.unknown is None else is_wrong | (y_true == self.unknown)

    def result(self) -> Tensor:
        """Return the fraction of wrong answers, 0 before any question."""
        return self.wrong / ops.maximum(self.total, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "unknown": self.unknown}


def _previous(is_answer: Tensor) -> Tensor:
    """Return the value at the previous step, false at the first."""
    return ops.pad(is_answer, [(0, 0), (1, 0)])[:, :-1]


class _BitMetric(keras.metrics.Metric):
    """Base of metrics of the wrong bits in a sequence, averaged over sequences."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.sum = self.add_variable((), initializer="zeros", name="sum")
        self.count = self.add_variable((), initializer="zeros", name="count")

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Add the sequences of a batch.

        Args:
            y_true: `(batch, time, channels)`, in [0, 1].
            y_pred: Logits, `(batch, time, channels)`; above 0 means 1. NaN counts as
                wrong.
            sample_weight: `(batch, time)`, above 0 at steps that are scored. Defaults
                to `None`, for all steps.
        """
        y_pred = ops.convert_to_tensor(y_pred)
        is_one = ops.convert_to_tensor(y_true) > 0.5
        right = ops.where(is_one, y_pred > 0, y_pred <= 0)  # NaN is neither
        wrong = ops.sum(1.0 - ops.cast(right, self.dtype), axis=-1)
        if sample_weight is not None:
            wrong = wrong * ops.cast(
                ops.convert_to_tensor(sample_weight) > 0, self.dtype
            )
        values = self.of(ops.sum(wrong, axis=-1))
        self.sum.assign_add(ops.sum(values))
        self.count.assign_add(ops.cast(ops.shape(values)[0], self.dtype))

    @staticmethod
    def of(wrong: Tensor) -> Tensor:
        """Compute the metric of each sequence.

        Args:
            wrong: `(batch,)`, number of wrong bits in each sequence.

        Returns:
            `(batch,)`.
        """
        raise NotImplementedError

    def result(self) -> Tensor:
        """Return the mean over sequences, 0 before any sequence."""
        return self.sum / ops.maximum(self.count, 1.0)


@keras.saving.register_keras_serializable(package="keras_dnc")
class BitErrors(_BitMetric):
    """Number of wrong bits per sequence, at the steps that are scored.

    Pass it to `compile(weighted_metrics=...)`, with the mask of the scored steps as the
    sample weight.

    Args:
        name: Name of the metric. Defaults to `"bit_errors"`.
        **kwargs: Keyword arguments of `keras.metrics.Metric`: `dtype`.

    Call arguments of `update_state`:
        y_true: `(batch, time, channels)`, in [0, 1].
        y_pred: Logits, `(batch, time, channels)`; above 0 means 1. NaN counts as wrong.
        sample_weight: `(batch, time)`, above 0 at steps that are scored. Defaults to
            `None`, for all steps.

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
    def of(wrong: Tensor) -> Tensor:
        """Return the number of wrong bits in each sequence.

        Args:
            wrong: `(batch,)`, number of wrong bits in each sequence.

        Returns:
            `(batch,)`, unchanged.
        """
        return wrong


@keras.saving.register_keras_serializable(package="keras_dnc")
class ExactSequences(_BitMetric):
    """Fraction of sequences without a wrong bit at the steps that are scored.

    Pass it to `compile(weighted_metrics=...)`, with the mask of the scored steps as the
    sample weight.

    Args:
        name: Name of the metric. Defaults to `"exact_sequences"`.
        **kwargs: Keyword arguments of `keras.metrics.Metric`: `dtype`.

    Call arguments of `update_state`:
        y_true: `(batch, time, channels)`, in [0, 1].
        y_pred: Logits, `(batch, time, channels)`; above 0 means 1. NaN counts as wrong.
        sample_weight: `(batch, time)`, above 0 at steps that are scored. Defaults to
            `None`, for all steps.

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
    def of(wrong: Tensor) -> Tensor:
        """Return 1 for each sequence without a wrong bit, else 0.

        Args:
            wrong: `(batch,)`, number of wrong bits in each sequence.

        Returns:
            `(batch,)`, float32.
        """
        return ops.cast(wrong == 0, "float32")


@keras.saving.register_keras_serializable(package="keras_dnc")
class InstanceAccuracy(keras.metrics.Metric):
    """Accuracy at the steps where a class occurs for the k-th time in its sequence.

    The answer at the first occurrence can only be guessed; the accuracy at the second
    measures one-shot learning.

    Args:
        instance: Number k of the occurrence, at least 1.
        name: Name of the metric. Defaults to `None`, for `"instance_k"`.
        **kwargs: Keyword arguments of `keras.metrics.Metric`: `dtype`.

    Call arguments of `update_state`:
        y_true: `(batch, time, classes)`, one-hot.
        y_pred: `(batch, time, classes)`, logits or probabilities.
        sample_weight: `(batch, time)`, above 0 at steps that are scored. Defaults to
            `None`, for all steps.

    Raises:
        ValueError: `instance` is not a positive integer.

    Example:
        >>> import numpy as np
        >>> labels = np.eye(2)[[[0, 0, 1, 0, 1]]]
        >>> predictions = np.eye(2)[[[1, 0, 1, 0, 0]]]
        >>> metric = InstanceAccuracy(2)  # steps 1 and 4
        >>> metric.update_state(labels, predictions)
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

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Count the k-th occurrences in a batch, and those classified correctly.

        Args:
            y_true: `(batch, time, classes)`, one-hot.
            y_pred: `(batch, time, classes)`, logits or probabilities.
            sample_weight: `(batch, time)`, above 0 at steps that are scored. Defaults
                to `None`, for all steps.
        """
        y_true = ops.cast(y_true, self.dtype)
        occurrence = ops.sum(ops.cumsum(y_true, axis=1) * y_true, axis=-1)
        counts = ops.cast(occurrence == self.instance, self.dtype)
        if sample_weight is not None:
            weights = ops.convert_to_tensor(sample_weight)
            counts = counts * ops.cast(weights > 0, self.dtype)
        is_right = ops.argmax(y_true, axis=-1) == ops.argmax(y_pred, axis=-1)
        self.right.assign_add(ops.sum(counts * ops.cast(is_right, self.dtype)))
        self.count.assign_add(ops.sum(counts))

    def result(self) -> Tensor:
        """Return the accuracy, 0 before any k-th occurrence."""
        return self.right / ops.maximum(self.count, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "instance": self.instance}


@keras.saving.register_keras_serializable(package="keras_dnc")
class ExactGroups(keras.metrics.Metric):
    """Fraction of sequences in which every group has the right class at every step.

    The channels are groups of `group_size` logits, as in `GroupedCrossentropy`.

    Args:
        group_size: Number of classes of each group. Defaults to 10.
        name: Name of the metric. Defaults to `"exact_groups"`.
        **kwargs: Keyword arguments of `keras.metrics.Metric`: `dtype`.

    Call arguments of `update_state`:
        y_true: `(batch, time, groups * group_size)`, one-hot in each group, or zeros in
            a group that is not scored.
        y_pred: Logits, `(batch, time, groups * group_size)`. NaN counts as wrong.
        sample_weight: `(batch, time)`, above 0 at steps that are scored. Defaults to
            `None`, for all steps.

    Raises:
        ValueError: `group_size` is not a positive integer.

    Example:
        >>> import numpy as np
        >>> digits = np.eye(10)[[[4, 2], [4, 3]]].reshape(2, 1, 20)
        >>> metric = ExactGroups()
        >>> metric.update_state(digits, digits[[0, 0]])
        >>> float(metric.result())
        0.5
    """

    def __init__(
        self, group_size: int = 10, name: str = "exact_groups", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.group_size = positive_integer("group_size", group_size)
        self.right = self.add_variable((), initializer="zeros", name="right")
        self.count = self.add_variable((), initializer="zeros", name="count")

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Count the sequences of a batch, and those that are right everywhere.

        Args:
            y_true: `(batch, time, groups * group_size)`.
            y_pred: Logits, `(batch, time, groups * group_size)`.
            sample_weight: `(batch, time)`, above 0 at steps that are scored. Defaults
                to `None`, for all steps.
        """
        logits = ops.convert_to_tensor(y_pred)
        batch_size, time = ops.shape(logits)[:2]
        shape = (batch_size, time, -1, self.group_size)
        logits = ops.reshape(logits, shape)
        targets = ops.reshape(ops.cast(y_true, logits.dtype), shape)
        best = ops.max(logits, axis=-1, keepdims=True)
        chosen = ops.cast(logits >= best, logits.dtype)  # none of NaN
        right = ops.sum(targets * chosen, axis=-1)
        right = right / ops.maximum(ops.sum(chosen, axis=-1), 1.0)  # a tie is wrong
        wrong = ops.any(right < ops.max(targets, axis=-1), axis=-1)
        if sample_weight is not None:
            wrong = wrong & (ops.convert_to_tensor(sample_weight) > 0)
        exact = ops.cast(~ops.any(wrong, axis=1), self.dtype)
        self.right.assign_add(ops.sum(exact))
        self.count.assign_add(ops.cast(batch_size, self.dtype))

    def result(self) -> Tensor:
        """Return the fraction of right sequences, 0 before any sequence."""
        return self.right / ops.maximum(self.count, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "group_size": self.group_size}
