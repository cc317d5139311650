"""Our nodes by their ids, run as ComfyUI runs them."""

from pack.nodes import NODES

BY_ID = {node.GET_SCHEMA().node_id: node for node in NODES}


def value(output):
    return output.result[0]
