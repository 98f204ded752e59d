"""Train a Differentiable Neural Computer on bAbI stories, word by word.

    python examples/train_babi.py --tasks all --data path/to/babi --seeds 0,1,2

A story is one sequence; the model answers at each `-` (Graves et al. 2016). Training
begins with the tasks of GROUPS, one group after another, and each task with its first
questions. If the process is killed, the same command resumes training.
With KERAS_BACKEND=jax and a file of `python -m keras_dnc.tasks.babi.prepare` as --data,
no TensorFlow is needed.
"""

import argparse
import json
import pathlib

import keras

import keras_dnc
from keras_dnc.tasks import babi

RECIPE = {"memory_size": 128, "word_size": 64, "num_reads": 4, "normalize": True}
RECIPE |= {"temporal_links": False, "bypass_dropout": 0.1}
RECIPE["control_biases"] = {"read_strengths": 5.0, "write_strengths": 5.0}
FREE = ("seeds", "data", "output")  # settings that a resumed run may change
GROUPS = [[1], [6, 11, 12, 13]]  # answered by one fact, to be found in memory
LESSONS = [[1, 100], [10**6, 150], [10**6, 400]]  # questions, tokens shown of a story


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--tasks", default="1", help="such as 1, 1,4,15 or all")
    add("--subset", default="en-10k", help="en, en-10k, en-valid, ...")
    add("--data", help="archive, folder or prepared file; downloaded if not given")
    add("--output", default="runs/babi", type=pathlib.Path)
    add("--seeds", default="0", help="one run each, such as 0,1,2,3,4")
    add("--lessons", default=LESSONS, type=json.loads, help="in JSON")
    add("--goal", default=0.1, type=float, help="held-out error that ends a lesson")
    add("--lesson-epochs", default=10, type=int, help="that end a lesson in any case")
    add("--groups", default=GROUPS, type=json.loads, help="in JSON")
    add("--group-epochs", default=20, type=int, help="that end a group in any case")
    add("--least-share", default=0.05, type=float, help="of tasks without errors")
    add("--epochs", default=300, type=int, help="at most")
    add("--updates", default=320, type=int, help="in an epoch")
    add("--patience", default=40, type=int, help="epochs without a lower error")
    add("--enough", default=0.001, type=float, help="held-out error that ends training")
    add("--batch-size", default=32, type=int, help="stories in an update")
    add("--held-out", default=100, type=int, help="stories of each task")
    add("--learning-rate", default=2e-3, type=float, help="at the beginning")
    add("--embedding-size", default=64, type=int)
    add("--embedding-dropout", default=0.0, type=float)
    add("--controller", default=128, type=int, help="units of the normalized LSTM")
    add("--cell", default={}, type=json.loads, help="changes to RECIPE, in JSON")
    add("--thinking-steps", default=0, type=int, help="blanks before an answer")
    add("--rename", action="store_true", help="entities of tasks 16, 17 and 19")
    add("--policy", default="float32", help="such as mixed_bfloat16, for accelerators")
    return parser.parse_args()


def load(tasks, split, settings):
    configs = [f"{settings.subset}-qa{task}" for task in tasks]
    return sum((babi.load_stories(c, split, settings.data) for c in configs), [])


def new_model(words, settings):
    controller = keras_dnc.NormalizedLSTMCell(settings.controller)
    cell = keras_dnc.DNCCell(words, controller, **RECIPE | settings.cell)
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    embedded = keras.layers.Embedding(words, settings.embedding_size)(tokens)
    embedded = keras.layers.Dropout(settings.embedding_dropout)(embedded)
    dnc = keras_dnc.MemoryRNN(cell, return_sequences=True, name="dnc")
    logits = keras.layers.Activation("linear", dtype="float32")(dnc(embedded))
    model = keras.Model(tokens, logits)
    rate, updates = settings.learning_rate, settings.epochs * settings.updates
    rate = keras.optimizers.schedules.CosineDecay(rate, updates, alpha=0.02)
    model.compile(
        keras.optimizers.Adam(rate, global_clipnorm=10.0),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=[keras_dnc.QuestionError(babi.UNKNOWN)],
        jit_compile=True,
    )
    return model


def train(model, encoded, vocabulary, folder, seed, settings):
    """Train on all stories but those held out; return the log."""
    training, held_out = babi.hold_out(encoded, settings.held_out)
    tasks = {story.task for story in encoded}
    groups = [sorted(tasks & {*group}) for group in settings.groups if tasks & {*group}]
    mixture = babi.StoryMixture(
        training,
        settings.batch_size,
        per_epoch=settings.updates * settings.batch_size,
        lessons=[babi.Lesson(*lesson) for lesson in settings.lessons],
        tasks=groups[0] if groups else None,
        least_share=settings.least_share,
        augment=babi.Renaming(vocabulary) if settings.rename else None,
        seed=seed,
    )
    ends = settings.goal, settings.lesson_epochs, groups, settings.group_epochs
    monitor = "val_error"
    callbacks = [
        keras_dnc.TaskCurriculum(mixture, held_out, *ends),
        keras_dnc.StopAt(monitor, settings.enough),
        keras.callbacks.EarlyStopping(monitor, mode="min", patience=settings.patience),
        keras.callbacks.TerminateOnNaN(),
    ]
    run = (folder, monitor, settings.epochs, callbacks, seed)
    return keras_dnc.fit_or_resume(model, mixture, *run)


def solve(tasks, seed, settings):
    """Train and test one model, unless that is done; return test errors in percent."""
    output = settings.output / f"seed{seed}"
    output.mkdir(parents=True, exist_ok=True)
    keras_dnc.check_settings(output / "config.json", vars(settings), FREE)
    if (file := output / "metrics.json").exists():
        found = json.loads(file.read_text())["test_error_percent"]
        return {int(task): error for task, error in found.items()}
    keras.utils.set_random_seed(seed)
    stories, blanks = load(tasks, "train", settings), settings.thinking_steps
    vocabulary = babi.Vocabulary.from_stories(stories)
    encoded = [babi.encode_story(story, vocabulary, blanks) for story in stories]
    model = new_model(len(vocabulary), settings)
    log = train(model, encoded, vocabulary, output, seed, settings)
    stories = load(tasks, "test", settings)
    encoded = [babi.encode_story(story, vocabulary, blanks) for story in stories]
    judged = keras_dnc.judge_answers(model, babi.StoryBatches(encoded, 50))
    errors = {task: 100 * e for task, e in keras_dnc.error_by_task(judged).items()}
    model.save(output / "model.keras")
    metrics = {"test_error_percent": errors, "words": vocabulary.words[2:]}
    metrics |= {"epochs": len(log), "minutes": sum(e["seconds"] for e in log) / 60.0}
    file.write_text(json.dumps(metrics, indent=1))
    return errors


def main():
    settings = parse_arguments()
    keras_dnc.cache_compiled_programs("runs/xla")
    keras.config.set_dtype_policy(settings.policy)
    tasks = range(1, 21) if settings.tasks == "all" else settings.tasks.split(",")
    tasks, seeds = [int(task) for task in tasks], settings.seeds.split(",")
    print(babi.error_table([solve(tasks, int(seed), settings) for seed in seeds]))


if __name__ == "__main__":
    main()
