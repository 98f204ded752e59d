"""Models outside of Keras: served whole or step by step, and in other runtimes.

Reading order: `serving` (what is written), `endpoints` (the functions behind each
signature), `chain` and `stepper` (which models run step by step, and how), `guide` and
`warmup` (what stands beside the SavedModel), `client` and `transports` (who asks),
`portable` (ONNX and LiteRT).
"""

from keras_dnc.export.client import StreamingClient
from keras_dnc.export.portable import export_litert
from keras_dnc.export.portable import export_onnx
from keras_dnc.export.serving import export_for_serving

__all__ = [
    "StreamingClient",
    "export_for_serving",
    "export_litert",
    "export_onnx",
]
