"""Face models with the published signatures, made in a test: one knows a patch of pixels, one mixes averages."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
SHARPNESS = 5000.0  # of the match: a mean squared difference of 0.001 is no face any more


def detection(path, patch: np.ndarray, box, landmarks) -> None:
    """SCRFD's signature (det_10g): nine outputs, two anchors at each cell of strides 8, 16 and 32.

    A cell of stride 8 is a face where its 8 x 8 pixels equal `patch` (3, 8, 8), after (x - 127.5) / 128. `box` are the
    distances (left, top, right, bottom) and `landmarks` the offsets (x, y) x 5 from its corner, in pixels of the canvas.
    """
    nodes, constants, outputs = [], [], []
    for kind, width in (("score", 1), ("bbox", 4), ("kps", 10)):
        for stride in STRIDES:
            name = f"{kind}_{stride}"
            part = {
                "score": lambda stride=stride: _score(patch, stride),
                "bbox": lambda stride=stride: _constant(np.asarray(box) / stride, stride),
                "kps": lambda stride=stride: _constant(np.asarray(landmarks).flatten() / stride, stride),
            }[kind]()
            prefix = f"{name}/"
            for node in part[0]:
                node.input[:] = [one if one == "input.1" else prefix + one for one in node.input]
                node.output[:] = [prefix + one for one in node.output]
                nodes.append(node)
            constants += [
                numpy_helper.from_array(array.astype(array.dtype), prefix + key) for key, array in part[1].items()
            ]
            rows = numpy_helper.from_array(np.array([-1, width], np.int64), f"{prefix}rows")
            constants.append(rows)
            nodes.append(helper.make_node("Transpose", [f"{prefix}map"], [f"{prefix}last"], perm=[0, 2, 3, 1]))
            nodes.append(helper.make_node("Reshape", [f"{prefix}last", f"{prefix}rows"], [name]))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width]))
    given = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, "?", "?"])
    _save(path, nodes, [given], outputs, constants)


def _score(patch: np.ndarray, stride: int):
    """sigmoid(5 - sharpness * mean squared difference), both anchors alike; strides above 8 see nothing."""
    floor = -50.0 if stride != 8 else 5.0
    kernel = np.zeros((2, 3, stride, stride), np.float32)
    if stride == 8:
        kernel[:] = 2 * SHARPNESS * patch / patch.size
    ones = np.full((2, 3, stride, stride), -SHARPNESS / (3 * stride * stride), np.float32)
    bias = np.full(2, floor - SHARPNESS * float((patch**2).mean()), np.float32)
    steps = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
    nodes = [
        helper.make_node("Conv", ["input.1", "kernel", "bias"], ["like"], **steps),
        helper.make_node("Mul", ["input.1", "input.1"], ["square"]),
        helper.make_node("Conv", ["square", "ones"], ["energy"], **steps),
        helper.make_node("Add", ["like", "energy"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["map"]),
    ]
    return nodes, {"kernel": kernel, "ones": ones, "bias": bias}


def _constant(values: np.ndarray, stride: int):
    """The same values at each cell, for both anchors."""
    both = np.tile(values, 2).astype(np.float32)
    kernel = np.zeros((len(both), 3, stride, stride), np.float32)
    node = helper.make_node(
        "Conv", ["input.1", "kernel", "bias"], ["map"], kernel_shape=[stride] * 2, strides=[stride] * 2
    )
    return [node], {"kernel": kernel, "bias": both}


def recognition(path, mixing: np.ndarray) -> None:
    """ArcFace's signature (w600k_r50): (?, 3, 112, 112) to (?, 512). `mixing` (192, 512) of averages over 14 x 14 pixels."""
    nodes = [
        helper.make_node("AveragePool", ["input.1"], ["pooled"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "mixing"], ["683"]),
    ]
    given = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["None", 3, 112, 112])
    out = helper.make_tensor_value_info("683", TensorProto.FLOAT, ["None", 512])
    _save(path, nodes, [given], [out], [numpy_helper.from_array(mixing.astype(np.float32), "mixing")])


def landmark_model(path) -> None:
    """Something else that lies in the same folder: 2d106det's signature."""
    nodes = [
        helper.make_node("AveragePool", ["data"], ["pooled"], kernel_shape=[192, 192]),
        helper.make_node("Flatten", ["pooled"], ["fc1"]),
    ]
    given = helper.make_tensor_value_info("data", TensorProto.FLOAT, ["None", 3, 192, 192])
    _save(path, nodes, [given], [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, ["None", 3])], [])


def _save(path, nodes, inputs, outputs, constants) -> None:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
