"""An exported model behind BentoML's web server, for those who do not run containers.

    MODEL=saved_models/copy-ntm/serving/1 \
        bentoml serve examples/serving/service.py:MemoryNetwork

`/predict` takes JSON, `/npy/predict` the bytes of a `.npy` file; the answer has the
same form. Needs `pip install bentoml tensorflow`. Neither Keras nor keras_dnc is
imported.

XLA compiles the model at the first request of each size, which takes about a second.
Sequences are padded, so that there are few sizes.
"""

import io
import os
from typing import Any

import bentoml
import numpy as np
import tensorflow as tf
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# A step is some hundreds of small operations: handing them from thread to thread takes
# longer than running them. Start more workers to use more cores.
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
REFUSED = (TypeError, ValueError, tf.errors.OpError)


def compiled(model: Any) -> Any:
    """Compile a function of padded sequences and lengths; `None` if XLA cannot."""
    if "serving_padded" not in model.signatures:
        return None
    padded = model.signatures["serving_padded"]
    _, specs = padded.structured_input_signature
    run = tf.function(
        lambda inputs, lengths: padded(inputs=inputs, lengths=lengths)["outputs"],
        input_signature=[specs["inputs"], specs["lengths"]],
        jit_compile=True,
    )
    sizes = [size or 1 for size in specs["inputs"].shape]
    try:
        run(tf.zeros(sizes, specs["inputs"].dtype), tf.ones(1, "int32"))
    except REFUSED:  # strings, lookups, a fixed number of steps
        return None
    return run


def size_above(count: int) -> int:
    """Return the size to pad to, at most a quarter more: 1 to 8, 10, 12, 14, 16, 20."""
    step = 2 ** max(0, (count - 1).bit_length() - 3)
    return -(-count // step) * step


async def predict_npy(request: Request) -> Response:
    """Answer sequences `(batch, time, ...)`, as the bytes of a `.npy` file."""
    service, body = request.app.state.service, io.BytesIO(await request.body())
    try:
        sequences = np.load(body, allow_pickle=False)
        outputs = service.run(tf.constant(sequences, service.dtype))
    except (*REFUSED, EOFError) as error:
        return Response(f"`inputs`: {error}", status_code=400)
    answer = io.BytesIO()
    np.save(answer, outputs)
    return Response(answer.getvalue(), media_type="application/octet-stream")


npy = Starlette(routes=[Route("/predict", predict_npy, methods=["POST"])])


@bentoml.service(traffic={"timeout": 60})
@bentoml.asgi_app(npy, path="/npy")
class MemoryNetwork:
    """Whole sequences in, outputs out."""

    def __init__(self) -> None:
        self.model = tf.saved_model.load(os.environ["MODEL"])
        self.whole = self.model.signatures["serving_default"]
        self.compiled = compiled(self.model)
        _, specs = self.whole.structured_input_signature
        self.dtype = specs["inputs"].dtype
        shape = self.whole.structured_outputs["outputs"].shape
        self.keeps_time = shape.rank > 1 and shape[1] is None
        npy.state.service = self

    # A coroutine: a call is shorter than handing it to a thread.
    @bentoml.api
    async def predict(self, inputs: list[Any]) -> np.ndarray:
        """Answer sequences `(batch, time, ...)`, as nested lists."""
        try:
            return self.run(tf.constant(inputs, self.dtype))
        except REFUSED as error:
            raise bentoml.exceptions.InvalidArgument(f"`inputs`: {error}") from error

    def run(self, sequences: tf.Tensor) -> np.ndarray:
        """Run the model, compiled if it can be."""
        if self.compiled is None:
            return self.whole(inputs=sequences)["outputs"].numpy()
        batch, time, *features = sequences.shape
        sizes = [size_above(batch), size_above(time), *features]
        padded = np.zeros(sizes, self.dtype.as_numpy_dtype)
        padded[:batch, :time] = sequences
        outputs = self.compiled(padded, np.full(sizes[0], time, "int32")).numpy()
        return outputs[:batch, :time] if self.keeps_time else outputs[:batch]
