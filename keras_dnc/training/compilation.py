"""Compiled programs on disk, so that the next start of a program is quick."""

import os

import keras

from keras_dnc.backend.keras_internals import tensorflow_has_started

_XLA_OPTION = "--tf_xla_persistent_cache_directory"


def cache_compiled_programs(folder: str | os.PathLike) -> None:
    """Keep compiled programs in a folder, so that the next start of a program is quick.

    Call it at the start of a program, before anything is computed. Training with
    `jit_compile=True` then reads what an earlier start has compiled on the same
    machine. A change of the model, of the shapes or of the version of the backend
    compiles anew. Programs are compiled for one kind of processor: do not share the
    folder between machines.

    Settings of the backend's own take precedence: `JAX_COMPILATION_CACHE_DIR`,
    `TORCHINDUCTOR_CACHE_DIR`, and `--tf_xla_persistent_cache_directory` in
    `TF_XLA_FLAGS`.

    Args:
        folder: Path of a folder, which is created when the first program is kept.

    Raises:
        RuntimeError: TensorFlow has computed something before, and does not read the
            setting any more.

    Example:
        >>> cache_compiled_programs("runs/xla")  # doctest: +SKIP
    """
    setters = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    setters[keras.backend.backend()](os.path.abspath(folder))


def _tensorflow(path: str) -> None:
    """Add the folder to TensorFlow's flags, unless they name one."""
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if _XLA_OPTION in flags:
        return
    if tensorflow_has_started():
        raise RuntimeError(
            "`cache_compiled_programs` must be called before TensorFlow computes "
            "anything, such as the weights of a model."
        )
    os.environ["TF_XLA_FLAGS"] = f"{flags} {_XLA_OPTION}={path}".strip()


def _jax(path: str) -> None:
    """Set JAX's folder, unless there is one."""
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", path)


def _torch(path: str) -> None:
    """Set the folder of `torch.compile`, unless there is one."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", path)
