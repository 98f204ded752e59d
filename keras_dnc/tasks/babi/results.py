"""Test errors as the papers report them: per task, mean, and failed tasks."""

import numpy as np

from keras_dnc.tasks.babi.source import TASK_NAMES

_FAILED = 5.0  # percent above which a task counts as failed (Graves et al. 2016)


def error_table(errors):
    """Write the test errors of one or more runs as a table.

    Args:
        errors: List of one dict a run, from a task's number to its error in percent;
            all of the same tasks.

    Returns:
        Text: a line for each task, one for their mean and one for the number of failed
        tasks, error above 5 %; columns mean, standard deviation, median and best of
        the runs.

    Raises:
        ValueError: No runs, or runs of different tasks.

    Example:
        >>> print(error_table([{1: 0.5, 15: 8.0}, {1: 0.1, 15: 2.0}]))
        test error %                      mean      sd  median    best
         1 single supporting fact         0.30    0.20    0.30    0.10
        15 basic deduction                5.00    3.00    5.00    2.00
        mean                              2.65    1.60    2.65    1.05
        failed tasks                      0.50    0.50    0.50    0.00
    """
    tasks = list(errors[0]) if errors else []
    if not tasks or any(list(run) != tasks for run in errors):
        raise ValueError(
            "Argument `errors` must be a list of dicts with the same tasks. "
            f"Received: errors={errors!r}"
        )
    figures = np.array([[run[task] for task in tasks] for run in errors])
    rows = {
        f"{task:>2} {TASK_NAMES[task]}": figures[:, i] for i, task in enumerate(tasks)
    }
    rows["mean"] = figures.mean(axis=1)
    rows["failed tasks"] = (figures > _FAILED).sum(axis=1)
    lines = [f"{'test error %':<30}" + _columns("mean", "sd", "median", "best")]
    for name, row in rows.items():
        found = row.mean(), row.std(), np.median(row), row.min()
        lines.append(f"{name:<30}" + _columns(*(f"{figure:.2f}" for figure in found)))
    return "\n".join(lines)


def _columns(*texts):
    return "".join(f"{text:>8}" for text in texts)
