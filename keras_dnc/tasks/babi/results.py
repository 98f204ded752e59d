"""Test errors as papers report them: per task, mean, and number of failed tasks."""

from collections.abc import Mapping, Sequence

import numpy as np

from keras_dnc.tasks.babi.source import TASK_NAMES

_FAILED = 5.0  # percent above which a task counts as failed (Graves et al. 2016)


def error_table(errors: Sequence[Mapping[int, float]]) -> str:
    """Write the test errors of one or more runs as a table.

    Args:
        errors: One dict per run, from the number of a task to its error in percent. All
            runs must have the same tasks.

    Returns:
        Text with one line for each task, one for the mean over tasks and one for the
        number of failed tasks, those with an error above 5 %. The columns are the mean,
        the sample standard deviation (0 for one run), the median and the minimum over
        runs.

    Raises:
        ValueError: There are no runs, runs differ in their tasks, or a number is not
            that of a bAbI task.

    Example:
        >>> print(error_table([{1: 0.5, 15: 8.0}, {1: 0.1, 15: 2.0}]))
        test error %                      mean      sd  median   least
         1 single supporting fact         0.30    0.28    0.30    0.10
        15 basic deduction                5.00    4.24    5.00    2.00
        mean                              2.65    2.26    2.65    1.05
        failed tasks                      0.50    0.71    0.50    0.00
    """
    tasks = sorted(errors[0]) if errors else []
    known = set(tasks) <= set(TASK_NAMES)
    if not tasks or not known or any(sorted(run) != tasks for run in errors):
        raise ValueError(
            "Argument `errors` must be a list of dicts with the same tasks, 1 to 20. "
            f"Received: errors={errors!r}"
        )
    figures = np.array([[run[task] for task in tasks] for run in errors])
    rows = {
        f"{task:>2} {TASK_NAMES[task]}": figures[:, i] for i, task in enumerate(tasks)
    }
    rows["mean"] = figures.mean(axis=1)
    rows["failed tasks"] = (figures > _FAILED).sum(axis=1)
    lines = [f"{'test error %':<30}" + _columns("mean", "sd", "median", "least")]
    for name, row in rows.items():
        found = row.mean(), _deviation(row), np.median(row), row.min()
        lines.append(f"{name:<30}" + _columns(*(f"{figure:.2f}" for figure in found)))
    return "\n".join(lines)


def _deviation(row: np.ndarray) -> float:
    """Compute the sample standard deviation, 0 for a single run."""
    return row.std(ddof=1) if len(row) > 1 else 0.0


def _columns(*texts: str) -> str:
    """Align texts in columns of equal width."""
    return "".join(f"{text:>8}" for text in texts)
