"""Run SavedModels through TensorFlow's C library alone.

python c_api.py REQUESTS.npz: what `test_runtimes` writes. Imports no TensorFlow, no
Keras and nothing of ours: the C library is what TensorFlow Serving loads models with.
"""

import ctypes
import importlib.util
import json
import pathlib
import sys

import numpy as np

DTYPES = {1: np.float32, 2: np.float64, 3: np.int32}  # TF_DataType
CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}


class Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def names_in_the_graph(signature_defs):
    """Dict from signatures to dicts of `inputs` and `outputs`, by their names.

    Args:
        signature_defs: Dict from signatures to their `SignatureDef`s.
    """
    return {
        name: {
            "inputs": {key: info.name for key, info in signature.inputs.items()},
            "outputs": {key: info.name for key, info in signature.outputs.items()},
        }
        for name, signature in signature_defs.items()
    }


def load_library():
    (folder,) = importlib.util.find_spec("tensorflow").submodule_search_locations
    lib = ctypes.CDLL(str(pathlib.Path(folder, "libtensorflow_cc.so.2")))
    for name in (
        "TF_AllocateTensor",
        "TF_GraphOperationByName",
        "TF_LoadSessionFromSavedModel",
        "TF_NewGraph",
        "TF_NewSessionOptions",
        "TF_NewStatus",
        "TF_TensorData",
    ):
        getattr(lib, name).restype = ctypes.c_void_p
    lib.TF_Message.restype = ctypes.c_char_p
    lib.TF_Dim.restype = ctypes.c_int64
    lib.TF_TensorByteSize.restype = ctypes.c_size_t
    return lib


class Model:
    """A SavedModel in a session of its own.

    Args:
        lib: What `load_library` gives.
        folder: Path of the SavedModel.
        names: Dict from signatures to dicts of `inputs` and `outputs`, each from names
            to names in the graph, from `names_in_the_graph`.
        config: Bytes of a `ConfigProto`. Defaults to that of TensorFlow.
    """

    def __init__(self, lib, folder, names, config=b""):
        self.lib, self.names = lib, names
        self.graph = ctypes.c_void_p(lib.TF_NewGraph())
        self.status = ctypes.c_void_p(lib.TF_NewStatus())
        options = ctypes.c_void_p(lib.TF_NewSessionOptions())
        size = ctypes.c_size_t(len(config))
        lib.TF_SetConfig(options, config, size, self.status)
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = ctypes.c_void_p(
            lib.TF_LoadSessionFromSavedModel(
                *(options, None, folder.encode(), tags, 1, self.graph, None),
                self.status,
            )
        )
        self.check()

    def check(self):
        if self.lib.TF_GetCode(self.status):
            raise RuntimeError(self.lib.TF_Message(self.status).decode())

    def output(self, name):
        operation, _, index = name.partition(":")
        found = self.lib.TF_GraphOperationByName(self.graph, operation.encode())
        assert found, name
        return Output(found, int(index))

    def tensor(self, array):
        array = np.asarray(array, order="C")  # a scalar stays one
        sizes = (ctypes.c_int64 * array.ndim)(*array.shape)
        size = ctypes.c_size_t(array.nbytes)
        code = CODES[array.dtype]
        tensor = self.lib.TF_AllocateTensor(code, sizes, array.ndim, size)
        data = self.lib.TF_TensorData(ctypes.c_void_p(tensor))
        ctypes.memmove(data, array.ctypes.data, array.nbytes)
        return ctypes.c_void_p(tensor)

    def array(self, tensor):
        tensor = ctypes.c_void_p(tensor)
        axes = range(self.lib.TF_NumDims(tensor))
        shape = [self.lib.TF_Dim(tensor, axis) for axis in axes]
        array = np.empty(shape, DTYPES[self.lib.TF_TensorType(tensor)])
        data = self.lib.TF_TensorData(tensor)
        assert self.lib.TF_TensorByteSize(tensor) == array.nbytes
        ctypes.memmove(array.ctypes.data, data, array.nbytes)
        self.lib.TF_DeleteTensor(tensor)
        return array

    def run(self, signature, arrays):
        names = self.names[signature]
        given = [self.output(names["inputs"][n]) for n in arrays]
        tensors = [self.tensor(array) for array in arrays.values()]
        asked = [self.output(name) for name in names["outputs"].values()]
        values = (ctypes.c_void_p * len(asked))()
        self.lib.TF_SessionRun(
            *(self.session, None),
            (Output * len(given))(*given),
            (ctypes.c_void_p * len(given))(*tensors),
            len(given),
            *((Output * len(asked))(*asked), values, len(asked)),
            *(None, 0, None, self.status),
        )
        for tensor in tensors:
            self.lib.TF_DeleteTensor(tensor)
        self.check()
        return dict(zip(names["outputs"], map(self.array, values), strict=True))


def whole(model, inputs, expected):
    outputs = model.run("serving_default", {"inputs": inputs})["outputs"]
    return np.max(np.abs(outputs - expected))


def step_by_step(model, inputs, expected):
    batch = {"batch_size": np.int32(len(inputs))}
    state, worst = model.run("initial_state", batch), 0.0
    for time in range(inputs.shape[1]):
        state = model.run("step", {"inputs": inputs[:, time], **state})
        outputs = state.pop("outputs")
        worst = np.max([worst, np.max(np.abs(outputs - expected[:, time]))])  # or NaN
    return worst


def refusals(model, inputs):
    """What the runtime says to bad requests, after each of which it still answers."""
    state = model.run("initial_state", {"batch_size": np.int32(2)})
    one, memory = {"inputs": inputs[:2, 0], **state}, state["memory"]
    lengths = np.ones(2, "int32")
    bad = {
        "rank": ("serving_default", {"inputs": inputs[0]}),
        "features": ("serving_default", {"inputs": inputs[:, :, :4]}),
        "dtype": ("serving_default", {"inputs": inputs.astype("float64")}),
        "lengths": ("serving_padded", {"inputs": inputs[:1], "lengths": lengths}),
        "length": ("serving_padded", {"inputs": inputs, "lengths": lengths[:1]}),
        "missing": ("step", {n: a for n, a in one.items() if n != "memory"}),
        "rows": ("step", {**one, "memory": memory[:1]}),
        "slots": ("step", {**one, "memory": memory[:, :4]}),
        "transposed": ("step", {**one, "memory": memory.transpose(0, 2, 1)}),
    }
    said = {}
    for name, request in bad.items():
        try:
            model.run(*request)
        except RuntimeError as error:
            said[name] = str(error)
        model.run("serving_default", {"inputs": inputs})
    return said


def main():
    lib = load_library()
    data = np.load(sys.argv[1])
    graphs = json.loads(str(data["models"]))
    models = {name: Model(lib, *graph) for name, graph in graphs.items()}  # all at once
    worst = {}
    for key in data.files:
        if not key.startswith("inputs/"):
            continue
        _, name, case = key.split("/")
        inputs, expected = data[key], data[f"expected/{name}/{case}"]
        worst[f"{name} {case} whole"] = float(whole(models[name], inputs, expected))
        steps = float(step_by_step(models[name], inputs, expected))
        worst[f"{name} {case} steps"] = steps
    first, inputs = next(iter(models.values())), data["refused"]
    modules = {name.split(".")[0] for name in sys.modules}
    result = {"worst": worst, "refusals": refusals(first, inputs)}
    result["imported"] = sorted(modules & {"keras", "keras_dnc", "tensorflow"})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
