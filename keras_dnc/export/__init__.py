"""Export of models to TensorFlow Serving, ONNX and LiteRT, and a client to query them.

Reading order: `serving` (the export), `endpoints` (the functions of the signatures),
`chain` and `stepper` (models that can run step by step), `guide` and `warmup` (files
written with the SavedModel), `arrays`, `transports`, `keras_transport` and `client`
(requests), `portable` (ONNX and LiteRT).
"""

from keras_dnc.export.client import StreamingClient
from keras_dnc.export.portable import export_litert
from keras_dnc.export.portable import export_onnx
from keras_dnc.export.serving import export_for_serving
from keras_dnc.export.transports import ServerError

__all__ = [
    "ServerError",
    "StreamingClient",
    "export_for_serving",
    "export_litert",
    "export_onnx",
]
