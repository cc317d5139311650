"""From images to faces: detection, alignment, identity. Runs on onnxruntime alone."""
