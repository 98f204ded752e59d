"""Linear probes: how much of something can be read from a memory by a linear map."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_dnc.arguments import finite_number
from keras_dnc.arguments import probability
from keras_dnc.arguments import random_seed


class ProbeScore(NamedTuple):
    """How often a probe names the right class.

    Attributes:
        accuracy: Fraction of held-out examples that the probe classifies correctly.
        chance: The same of a guess that is always the most frequent class.

    Example:
        >>> ProbeScore(accuracy=0.89, chance=0.17)
        ProbeScore(accuracy=0.89, chance=0.17)
    """

    accuracy: float
    chance: float


def linear_probe(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    held_out: float = 0.3,
    ridge: float = 1.0,
    seed: int = 0,
) -> ProbeScore:
    """Fit a linear map from features to classes, and score it on held-out examples.

    The map is that of ridge regression to one-hot labels, from standardized features.
    Graves et al. (2016) decoded actions from memory by logistic regression; this one
    has a closed form.

    Args:
        features: `(examples, size)`, such as the memory at one step of each sequence.
        labels: `(examples,)`, classes.
        held_out: Fraction of the examples that are held out, in (0, 1). Defaults to
            0.3.
        ridge: Weight of the squares of the coefficients, above 0. Defaults to 1.
        seed: Seed of the choice of held-out examples, an integer from 0 to 2^32 - 1.
            Defaults to 0.

    Returns:
        `ProbeScore`.

    Raises:
        ValueError: There are not as many labels as features, or too few, or a number is
            out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 3, 200)
        >>> features = np.eye(3)[labels] + 0.1 * rng.normal(size=(200, 3))
        >>> linear_probe(features, labels).accuracy
        1.0

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, figure 4c.
        - Alain and Bengio 2017, Understanding intermediate layers using linear
          classifier probes, ICLR workshop.
    """
    inputs, classes = _checked(features, labels)
    share = probability("held_out", held_out, includes_zero=False)
    weight = finite_number("ridge", ridge, above=0.0)
    order = np.random.default_rng(random_seed("seed", seed)).permutation(len(inputs))
    tested, fitted = np.split(order, [max(1, round(share * len(order)))])
    if not len(fitted):
        raise ValueError(
            "Argument `features` must have more than one example. "
            f"Received: {len(inputs)}"
        )
    inputs = (inputs - inputs[fitted].mean(axis=0)) / (
        inputs[fitted].std(axis=0) + 1e-6
    )
    inputs = np.pad(inputs, [(0, 0), (0, 1)], constant_values=1.0)  # the bias
    targets = np.eye(classes.max() + 1)[classes[fitted]]
    gram = inputs[fitted].T @ inputs[fitted] + weight * np.eye(inputs.shape[1])
    coefficients = np.linalg.solve(gram, inputs[fitted].T @ targets)
    found = np.argmax(inputs[tested] @ coefficients, axis=1)
    guess = np.argmax(targets.sum(axis=0))
    right = (found == classes[tested]).mean(), (guess == classes[tested]).mean()
    return ProbeScore(*map(float, right))


def _checked(
    features: npt.ArrayLike, labels: npt.ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Return features as a matrix and labels as numbers, or raise a `ValueError`."""
    inputs, given = np.asarray(features, float), np.asarray(labels)
    if inputs.ndim != 2 or given.shape != inputs.shape[:1] or not len(given):
        raise ValueError(
            "Arguments `features` and `labels` must have shapes (examples, size) and "
            f"(examples,). Received: shapes {inputs.shape} and {given.shape}"
        )
    return inputs, np.unique(given, return_inverse=True)[1]
