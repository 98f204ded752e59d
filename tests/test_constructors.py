"""Every argument of every public class is checked, or documented as unchecked.

The tests find the public classes, and pass each argument wrong values of its kind. The
kind follows from the name (`KIND_OF_NAME`) or from the annotation. A new class is
tested without a line here, unless it has required arguments that are neither sizes,
numbers nor controllers: those go to `REQUIRED`.
"""

import functools
import importlib
import inspect
import math
import pkgutil
import re
import types
import typing

import keras
import numpy as np
import pytest

import keras_dnc
import keras_dnc.export
import keras_dnc.inspect
import keras_dnc.tasks
from keras_dnc.tasks.babi import EncodedQuestion
from keras_dnc.tasks.babi import EncodedStory
from keras_dnc.tasks.babi import Lesson
from keras_dnc.tasks.babi import StoryMixture
from keras_dnc.tasks.babi import Vocabulary
from keras_dnc.tasks.copy import CopyTask
from keras_dnc.tasks.graphs import InferenceTask
from keras_dnc.tasks.graphs import ShortestPathTask
from keras_dnc.tasks.levels import Levels
from keras_dnc.tasks.shrdlu import ShrdluVectorEnv

NO_MODULES = {"keras_dnc.tasks.babi.babi_dataset_builder"}  # needs other packages
NOT_OURS = {
    *("name", "dtype", "trainable"),  # Keras's base class checks them
    "examples",  # which subclasses of `BucketedBatches` call by another name
}
VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
HUGE = 2**40  # above the largest int32: no index reaches the last row

NOT_NUMBERS = [math.nan, True, "3", None]
NOT_POSITIVE_INTEGERS = [0, -1, 0.5, *NOT_NUMBERS, HUGE]
WRONG = {  # kind of argument -> values that are refused
    "size": NOT_POSITIVE_INTEGERS,
    "natural": [-1, 0.5, *NOT_NUMBERS, HUGE],
    "seed": [-1, 0.5, *NOT_NUMBERS, HUGE],
    "switch": [2, "yes", None],
    "choice": ["nonsense", 3, None],
    "probability": [-0.1, 1.0, 1.5, *NOT_NUMBERS],
    "fraction": [-0.1, 1.5, *NOT_NUMBERS],
    "number": [math.inf, *NOT_NUMBERS],
    "positive": [0.0, -1.0, *NOT_NUMBERS],
    "controller": [*NOT_POSITIVE_INTEGERS, keras.layers.Dense],
    "layer": [3, "dnc", None],
    "class": [3, "lstm", None, int],
    "biases": [3, "a", {"nonsense": 1.0}],
    "guards": [3, "ab", (1.0,), (0.0, 1.0), (1.0, math.nan), None],
    "controls": [3, None, {}, {"key": 3}, {"key": ((0,), "linear")}],
    "object": [3, "nonsense", None],
    "list": [3, None, [], [3]],
    "lengths": [3, [], [4.5], [4, 3], "4"],
    "logs": [3, None, [3], [{}]],
    "groups": [3, None, [3], [[99]], "1"],
    "tasks": [3, None, {}, {"short": 3}],
    "words": [3, None, ["a", "a"], [3], "ab"],
    "vocabulary": [3, None, ["a"]],
    "function": [3, "nonsense"],  # `None` is none
    "share": [0.0, -0.1, 1.5, *NOT_NUMBERS],
    "words of tasks": [3, "ab", {1: 3}, {1: [["nonsense"]]}],
    "numbering": [3, None, [3], {"a": 1000}, {"a": 1, "b": 1}, {"a": 0.5}],
}
KIND_OF_NAME = {  # where the annotation does not tell, or tells something else
    "access": "layer",
    "activation": "choice",
    "augment": "function",
    "backward_controller": "controller",
    "buckets": "lengths",
    "cell": "layer",
    "characters": "tasks",
    "clip_value": "positive",
    "control_biases": "biases",
    "controller": "controller",
    "controls": "controls",
    "cosine_guards": "guards",
    "dataset": "object",
    "edges": "numbering",
    "env": "object",
    "groups": "groups",
    "held_out": "list",
    "hop_activation": "choice",
    "imitation_epochs": "natural",
    "inputs": "object",
    "labels": "choice",
    "learning_rate": "object",
    "lessons": "list",
    "levels": "object",
    "log": "logs",
    "log_dir": "object",
    "lstm": "class",
    "mixture": "object",
    "nodes": "numbering",
    "normalization_epsilon": "positive",
    "planning_steps": "natural",
    "questions": "list",
    "recompute": "natural",
    "recurrent": "list",
    "relations": "numbering",
    "repeats_mean": "number",
    "repeats_scale": "positive",
    "search": "object",
    "seed": "seed",
    "sequence": "natural",
    "shift_range": "natural",
    "stories": "list",
    "task": "object",
    "unknown": "natural",
    "value": "number",
    "vocabulary": "vocabulary",
    "words": "words",
}
KIND = {  # where one name has two meanings
    ("ActorCriticLoss", "entropy"): "number",
    ("Curriculum", "goal"): "number",
    ("GeneralisationReport", "tasks"): "tasks",
    ("Levels", "tasks"): "list",
    ("StoryMixture", "tasks"): "lengths",
    ("DAgger", "own"): "fraction",
    ("DAgger", "share"): "fraction",
    ("Renaming", "groups"): "words of tasks",
    ("InferenceTask", "least_share"): "share",
    ("StoryMixture", "least_share"): "share",
    ("Rollouts", "discount"): "fraction",
    ("Rollouts", "trace"): "fraction",
    ("TaskCurriculum", "goal"): "fraction",
}
KIND_OF_TYPE = {int: "size", bool: "switch", str: "choice", float: "probability"}
GUESS = {"size": 4, "probability": 0.5, "number": 0.5, "controller": 4}

KNOWN_WHEN_TRAINING = "the entries of the logs are known at the end of an epoch"
NEEDS_THE_MODEL = "is compared with the model's inputs when the first epoch ends"
UNCHECKED = {  # (class, argument) -> reason
    ("Curriculum", "log"): "deprecated",
    ("Curriculum", "monitor"): KNOWN_WHEN_TRAINING,
    ("LinearStart", "monitor"): KNOWN_WHEN_TRAINING,
    ("StopAt", "monitor"): KNOWN_WHEN_TRAINING,
    ("FeedForwardController", "activation"): "keras.activations.get checks it",
    ("MemN2N", "hop_activation"): "keras.activations.get checks it",
    ("MemoryTrace", "inputs"): NEEDS_THE_MODEL,
    ("MemoryTrace", "labels"): NEEDS_THE_MODEL,
    ("MemoryTrace", "layer"): NEEDS_THE_MODEL,
    ("MemoryTrace", "log_dir"): "any object is a path once it is a string",
}
NOT_WALKED = {  # class -> reason
    "BucketedBatches": "abstract; its subclasses are walked with its arguments",
    "Frames": "`animate_memory` makes it, and checks its arguments",
    "FusedLSTMCell": "its constructor is that of keras.layers.LSTMCell",
    "Sheet": "`report` makes it, and checks its arguments",
    "StreamingClient": "needs a served model; tests/export/test_client.py",
}


def stories():
    tokens = np.array([3, 4, 5, 4], "int32")
    return [EncodedStory(1, tokens, tokens, weights=tokens == 4)]


def questions():
    sentences = np.ones((5, 4), "int32")
    return [EncodedQuestion(1, sentences, sentences[0], answer=2)]


def mixture():
    return StoryMixture(stories(), 1, per_epoch=1, lessons=[Lesson(1, 10)])


def inference_levels():
    return Levels([InferenceTask({"aunt": ("a", "b", "c", "d")})])


def lstm():
    return keras.layers.LSTM(4, return_sequences=True, return_state=True)


REQUIRED = {  # class -> function that returns the required arguments not guessed
    "AccessCell": lambda: {"access": keras_dnc.LRUAccess(8, 4)},
    "ActorCritic": lambda: {"recurrent": [lstm()]},
    "Curriculum": lambda: {"levels": Levels([CopyTask()]), "monitor": "loss"},
    "DAgger": lambda: {"dataset": CopyTask().dataset(2, 2), "task": ShortestPathTask()},
    "EpisodeDataset": lambda: {"task": CopyTask()},
    "GeneralisationReport": lambda: {"tasks": {"short": CopyTask()}},
    "InferenceTask": lambda: {"relations": {"aunt": ("a", "b", "c", "d")}},
    "Interface": lambda: {"controls": {"key": ((2, 3), "linear")}},
    "Labels": lambda: {"nodes": {"a": 1, "b": 2}, "edges": {"next": 1}},
    "Levels": lambda: {"tasks": [CopyTask()]},
    "MemoryRNN": lambda: {"cell": keras_dnc.NTMCell(3, 4)},
    "MemoryTrace": lambda: {"inputs": np.ones((2, 3, 4)), "log_dir": "logs"},
    "OmniglotTask": lambda: {"characters": dict.fromkeys("abcde", np.ones((10, 8, 8)))},
    "Renaming": lambda: {"vocabulary": Vocabulary(["mary", "went"])},
    "QuestionBatches": lambda: {"questions": questions()},
    "RelationSampling": lambda: {"levels": inference_levels()},
    "Rollouts": lambda: {"env": ShrdluVectorEnv(autoreset_mode="Disabled")},
    "SampleReport": lambda: {"task": CopyTask()},
    "StopAt": lambda: {"monitor": "loss"},
    "StoryBatches": lambda: {"stories": stories()},
    "StoryMixture": lambda: {"stories": stories(), "lessons": [Lesson(1, 10)]},
    "TaskCurriculum": lambda: {"mixture": mixture(), "held_out": stories()},
    "Vocabulary": lambda: {"words": ["mary", "went"]},
}


def public_classes():
    """Dict from names to the classes in an `__all__`, or in a module without one."""
    modules = [keras_dnc, keras_dnc.export]
    for package in (keras_dnc.tasks, keras_dnc.inspect):
        found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        names = sorted({module.name for module in found} - NO_MODULES)
        modules += [importlib.import_module(name) for name in names]
    return {
        kind.__name__: kind
        for module in modules
        for name in getattr(module, "__all__", vars(module))
        if inspect.isclass(kind := getattr(module, name)) and has_arguments(kind)
    }


def has_arguments(kind):
    """Whether a class is ours, public, and neither a record of fields nor an error."""
    is_ours = kind.__module__.startswith("keras_dnc.")
    is_other = issubclass(kind, tuple | types.SimpleNamespace | Exception)
    return is_ours and not is_other and not kind.__name__.startswith("_")


def parameters(kind):
    """Dict from names to the arguments of a class, with those it passes on to bases."""
    found = {}
    for base in kind.__mro__:
        constructor = vars(base).get("__init__")
        if constructor is None:
            continue
        if not getattr(constructor, "__module__", "").startswith("keras_dnc."):
            break
        given = inspect.signature(base).parameters.values()
        for parameter in given:
            if parameter.kind not in VARIABLE and parameter.name not in NOT_OURS:
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in given):
            break
    return found


def kind_of(name, parameter):
    """The kind of an argument of the class `name`, a key of `WRONG`."""
    argument = parameter.name
    if kind := KIND.get((name, argument)) or KIND_OF_NAME.get(argument):
        return kind
    for type_, kind in KIND_OF_TYPE.items():
        if type_ in types_of(parameter):
            return kind
    raise AssertionError(f"KIND_OF_NAME lacks `{argument}` of {name}")


def types_of(parameter):
    """The types that an annotation names."""
    annotation = parameter.annotation
    return typing.get_args(annotation) or (annotation,)


@functools.cache
def valid_arguments(name):
    """Arguments with which a class can be made."""
    arguments = REQUIRED.get(name, dict)()
    for argument, parameter in parameters(CLASSES[name]).items():
        if parameter.default is parameter.empty and argument not in arguments:
            kind = kind_of(name, parameter)
            assert kind in GUESS, f"REQUIRED lacks `{argument}` of {name}"
            arguments[argument] = GUESS[kind]
    return arguments


def not_refused(name, argument):
    """Pairs of a wrong value and of what follows, if that is no error of its name."""
    parameter = parameters(CLASSES[name])[argument]
    takes_none = parameter.default is None or types.NoneType in types_of(parameter)
    for value in WRONG[kind_of(name, parameter)]:
        if value is None and takes_none:
            continue
        try:
            CLASSES[name](**{**valid_arguments(name), argument: value})
        except (ValueError, TypeError) as error:
            if not re.search(rf"`{argument}\b", str(error)):
                yield value, f"{type(error).__name__}: {error}"
        else:
            yield value, "accepted"


CLASSES = public_classes()
WALKED = [name for name in sorted(CLASSES) if name not in NOT_WALKED]
CASES = [(name, argument) for name in WALKED for argument in parameters(CLASSES[name])]


@pytest.mark.parametrize("name", WALKED)
def test_a_class_is_made_from_valid_arguments(name):
    CLASSES[name](**valid_arguments(name))


@pytest.mark.parametrize(
    ("name", "argument"), [case for case in CASES if case not in UNCHECKED]
)
def test_a_wrong_argument_is_refused_by_its_name(name, argument):
    assert list(not_refused(name, argument)) == []


@pytest.mark.parametrize(("name", "argument"), sorted(UNCHECKED))
def test_an_unchecked_argument_is_there_and_unchecked(name, argument):
    assert (name, argument) in CASES
    assert list(not_refused(name, argument))


def test_no_table_has_a_row_that_is_not_used():
    arguments = {argument for _, argument in CASES}
    assert set(NOT_WALKED) <= set(CLASSES)
    assert set(KIND) <= set(CASES)
    assert set(KIND_OF_NAME) <= arguments
    for name, required in REQUIRED.items():
        assert set(required()) <= set(parameters(CLASSES[name]))
