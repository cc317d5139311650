"""Face models of the published signatures, which find a face that was put where they look."""

import numpy as np
from pack.ipadapter_core.encoders.face.detection import fit
from pack.tools.miniature import onnx as tiny_onnx

LANDMARKS = np.array([(203.6, 101.0), (248.0, 103.0), (226.0, 128.0), (205.0, 141.0), (243.0, 141.4)])


BOX = np.array([180.0, 75.0, 272.0, 178.0])


MIXING = np.random.default_rng(3).normal(size=(192, 512)) / 14


def face_models(folder, picture, size=640):
    """Models in `folder` whose detector knows the pixels of one cell of the canvas, and where the face lies from there."""
    canvas, scale = fit((picture * 255).round(), (size, size))
    row, column = int(LANDMARKS[0, 1] * scale / 8), int(LANDMARKS[0, 0] * scale / 8)  # an eye is like nothing else
    patch = ((canvas - 127.5) / 128)[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].movedim(-1, 0).numpy()
    corner = np.array((8 * column, 8 * row))
    box = np.concatenate((corner - BOX[:2] * scale, BOX[2:] * scale - corner))
    folder.mkdir(parents=True, exist_ok=True)
    tiny_onnx.landmark_model(folder / "2d106det.onnx")
    tiny_onnx.detection(folder / "det_10g.onnx", patch, box, LANDMARKS * scale - corner)
    tiny_onnx.recognition(folder / "w600k_r50.onnx", MIXING)
    return folder
