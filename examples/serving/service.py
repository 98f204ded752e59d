"""An exported model behind BentoML's web server, for those who do not run containers.

    MODEL=saved_models/copy-ntm/serving/1 \
        bentoml serve examples/serving/service.py:MemoryNetwork

Needs `pip install bentoml tensorflow`. Neither Keras nor keras_dnc is imported.
"""

import os
from typing import Any

import bentoml
import numpy as np
import tensorflow as tf


@bentoml.service(traffic={"timeout": 60})
class MemoryNetwork:
    """Whole sequences in, outputs out."""

    def __init__(self) -> None:
        self.model = tf.saved_model.load(os.environ["MODEL"])
        serve = self.model.signatures["serving_default"]
        _, specs = serve.structured_input_signature
        self.dtype = specs["inputs"].dtype

    @bentoml.api
    def predict(self, inputs: list[Any]) -> np.ndarray:
        """Answer sequences `(batch, time, ...)`, as nested lists."""
        serve = self.model.signatures["serving_default"]
        try:
            sequences = tf.constant(inputs, self.dtype)
            return serve(inputs=sequences)["outputs"].numpy()
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise bentoml.exceptions.InvalidArgument(f"`inputs`: {error}") from error
