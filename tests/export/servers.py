"""Servers that speak TensorFlow Serving's two protocols over a loaded SavedModel.

They stand in for the real one, which no package carries; what they answer has the form
that its documentation gives.
"""

import concurrent.futures
import contextlib
import http.server
import json
import threading

import numpy as np


def signature_defs(folder):
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    return dict(saved.meta_graphs[0].signature_def)


def answer(export, name, arrays):
    """Run a signature on arrays of the right dtypes."""
    import tensorflow as tf

    specs = export.signature(name).structured_input_signature[1]
    given = {n: tf.constant(a, specs[n].dtype) for n, a in arrays.items()}
    return {n: t.numpy() for n, t in export.signature(name)(**given).items()}


def as_it_is(outputs):
    return outputs


def send(handler, code, content):
    """Send an answer of HTTP as a server should."""
    handler.send_response(code)
    handler.end_headers()
    handler.wfile.write(content)


@contextlib.contextmanager
def rest_server(export, name, change=as_it_is, send=send):
    """Give the address of a REST server, `http://localhost:port/v1/models/name`.

    `change` is a function from the outputs of each request, a dict of arrays, to those
    that are sent. `send` writes the whole answer.
    """
    from google.protobuf import json_format

    defs = signature_defs(export.folder)
    parts = {
        key: json_format.MessageToDict(d, preserving_proto_field_name=True)
        for key, d in defs.items()
    }
    metadata = {"metadata": {"signature_def": {"signature_def": parts}}}

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def reply(self, code, content):
            with contextlib.suppress(ConnectionError):  # the client may have gone
                text = json.dumps(content, default=np.ndarray.tolist)
                send(self, code, text.encode())

        def do_GET(self):  # noqa: N802, the standard library's name
            assert self.path == f"/v1/models/{name}/metadata"
            self.reply(200, metadata)

        def do_POST(self):  # noqa: N802
            assert self.path == f"/v1/models/{name}:predict"
            size = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(size))
            try:
                outputs = answer(export, body["signature_name"], body["inputs"])
            except Exception as error:
                self.reply(400, {"error": str(error)})
                return
            sent = change(outputs)
            if len(outputs) == 1:
                (sent,) = sent.values()
            self.reply(200, {"outputs": sent})

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}/v1/models/{name}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def grpc_server(export, name, change=as_it_is, describe=as_it_is):
    """Give the address of a gRPC server, `grpc://localhost:port/name`.

    `change` is a function from the outputs of each request, a dict of arrays, to those
    that are sent: arrays, or `TensorProto` messages. `describe` is a function from the
    answer with the metadata to the one that is sent.
    """
    import grpc
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2
    from tensorflow_serving.apis import get_model_metadata_pb2
    from tensorflow_serving.apis import predict_pb2
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def GetModelMetadata(self, request, context):  # noqa: N802, the protocol's name
            assert request.model_spec.name == name
            found = get_model_metadata_pb2.SignatureDefMap()
            for key, definition in signature_defs(export.folder).items():
                found.signature_def[key].CopyFrom(definition)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.metadata["signature_def"].Pack(found)
            return describe(response)

        def Predict(self, request, context):  # noqa: N802
            assert request.model_spec.name == name
            arrays = {n: tf.make_ndarray(p) for n, p in request.inputs.items()}
            outputs = answer(export, request.model_spec.signature_name, arrays)
            response = predict_pb2.PredictResponse()
            for key, array in change(outputs).items():
                is_message = isinstance(array, tensor_pb2.TensorProto)
                message = array if is_message else tf.make_tensor_proto(np.array(array))
                response.outputs[key].CopyFrom(message)
            return response

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    service = prediction_service_pb2_grpc
    service.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"grpc://localhost:{port}/{name}"
    finally:
        server.stop(None)
