"""The projectors that diffusers knows, and files of each kind as it reads them."""

KINDS = {"base": {}, "plus": {"tokens": 16}, "full face": {}}


FEATURES = {"base": (64,), "plus": (17, 64), "full face": (17, 64)}


def nested(weights):
    """The layout of a .bin file, which diffusers reads."""
    split = {"image_proj": {}, "ip_adapter": {}}
    for key, tensor in weights.items():
        part, name = key.split(".", 1)
        split[part][name] = tensor.clone()
    return split
