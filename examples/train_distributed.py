"""Train on several devices or processes, and end with the weights of one device.

Each strategy splits the same global batches. `docs/distributed.md` compares them.
"""

import argparse
import os
import pathlib

import keras
import numpy as np

import keras_dnc
from keras_dnc.tasks.copy import CopyTask
from keras_dnc.training import workers

TASK = CopyTask(num_bits=4, max_length=2)


def draw_episodes(settings):
    size = settings.steps * settings.batch_size
    return tuple(TASK.batch(size, np.random.default_rng(0)))


def build_model():
    keras.utils.set_random_seed(0)  # the same weights in every process
    cell = keras_dnc.DNCCell(TASK.target_size, 16, memory_size=8, word_size=6)
    inputs = keras.Input((TASK.max_time, TASK.observation_size))
    outputs = keras_dnc.MemoryRNN(cell, return_sequences=True)(inputs)
    model = keras.Model(inputs, outputs)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=keras.backend.backend() == "jax")
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, settings, devices=1, count=1):
    workers.check_split(settings.batch_size, devices)
    index = workers.worker_index() or 0  # of `count` processes, each with a share
    inputs, targets, mask = (field[index::count] for field in draw_episodes(settings))
    model.fit(
        *(inputs, targets, settings.batch_size // count, settings.epochs),
        sample_weight=mask,
        shuffle=False,  # all strategies and processes need the same order
        initial_epoch=workers.load_variables(model, settings.path),
        callbacks=[] if index else [workers.SaveVariables(settings.path)],
        verbose=0 if index else 1,
    )


def train_with_keras(settings):
    if workers.worker_index() is None:  # one process: a CPU is split, GPUs are not
        parts = f"--xla_force_host_platform_device_count={settings.devices}"
        os.environ.setdefault("XLA_FLAGS", parts)
    else:
        keras.distribution.initialize()
    parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)
    fit(build_model(), settings, parallel.num_model_replicas, parallel.num_processes)


def train_mirrored(settings):
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    parts = [tf.config.LogicalDeviceConfiguration()] * settings.devices
    tf.config.set_logical_device_configuration(cpu, parts)
    strategy = tf.distribute.MirroredStrategy()  # all GPUs, else all parts of the CPU
    with strategy.scope():
        model = build_model()
    fit(model, settings, strategy.num_replicas_in_sync)


def train_multiworker(settings):
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # reads TF_CONFIG
    workers.check_split(settings.batch_size, strategy.num_replicas_in_sync)
    with strategy.scope():
        model = build_model()
    data = tf.data.Dataset.from_tensor_slices(draw_episodes(settings))
    batches = strategy.experimental_distribute_dataset(data.batch(settings.batch_size))
    # In place of `model.fit`, which fails under this strategy.
    train = tf.function(lambda batch: strategy.run(model.train_step, args=(batch,)))
    chief = workers.worker_index() == 0
    for epoch in range(workers.load_variables(model, settings.path), settings.epochs):
        progress = keras.utils.Progbar(settings.steps, verbose=int(chief))
        for step, batch in enumerate(batches, start=1):
            loss = strategy.experimental_local_results(train(batch)["loss"])[0]
            progress.update(step, [("loss", loss)])
        if chief:
            workers.save_variables(model, settings.path, epoch + 1)


def train_with_ray(settings):
    from ray import train
    from ray.train.tensorflow import TensorflowTrainer

    again = train.FailureConfig(max_failures=3)  # from the last epoch that was saved
    TensorflowTrainer(
        lambda: train_multiworker(settings),
        scaling_config=train.ScalingConfig(num_workers=settings.devices),
        run_config=train.RunConfig("ray", str(settings.output), failure_config=again),
    ).fit()


STRATEGIES = {  # backend (`None`: any), package, function, workers of this machine
    "one": (None, "keras", lambda settings: fit(build_model(), settings), None),
    "keras": ("jax", "jax", train_with_keras, None),
    "mirrored": ("tensorflow", "tensorflow", train_mirrored, None),
    "multiworker": ("tensorflow", "tensorflow", train_multiworker, workers.tf_cluster),
    "jax": ("jax", "jax", train_with_keras, workers.jax_cluster),
    "ray": ("tensorflow", "ray", train_with_ray, None),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--strategy", default="one", choices=STRATEGIES)
    add("--devices", default=2, type=int, help="parts of the CPU, or local processes")
    add("--batch-size", default=8, type=int, help="of all devices together")
    add("--steps", default=10, type=int, help="updates in an epoch")
    add("--epochs", default=2, type=int)
    add("--timeout", type=float, help="seconds until local processes are stopped")
    add("--output", default="runs/distributed", type=pathlib.Path)
    settings = parser.parse_args()
    backend, package, train, cluster = STRATEGIES[settings.strategy]
    workers.check_backend(settings.strategy, backend, package)
    workers.check_split(settings.batch_size, settings.devices)
    folder = settings.output = settings.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    free = ["strategy", "devices", "timeout", "output"]  # may differ within a folder
    keras_dnc.check_settings(folder / "settings.json", vars(settings), free)
    settings.path = folder / f"{settings.strategy}-{keras.backend.backend()}.npz"
    if cluster is None or workers.worker_index() is not None:
        train(settings)
    else:
        workers.run_workers(cluster(settings.devices), settings.timeout)
    one = folder / f"one-{keras.backend.backend()}.npz"
    if workers.worker_index() is None and one.exists():
        difference = workers.largest_difference(settings.path, one)
        print(f"{settings.path}: relative difference to one device {difference:.1e}")


if __name__ == "__main__":
    main()
