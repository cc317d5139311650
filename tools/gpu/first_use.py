"""How long the kernel's first calls take in this process, for every kind of layer of SDXL; prints seconds."""

from time import perf_counter

import torch

from .shapes import Case, shapes
from .ways import fused, layer

CASES = (Case(16), Case(16, mask=True))


def main(_: list[str]) -> int:
    """Everything is made beforehand; a second call of each is taken off."""
    device, total = torch.device("cuda"), 0.0
    for shape in shapes(tiny=False):
        if shape.family != "SDXL":
            continue
        for case in CASES:
            one = layer(shape, case, device, torch.float16)
            torch.cuda.synchronize()
            start = perf_counter()
            fused(one)
            torch.cuda.synchronize()
            total += perf_counter() - start
    print(total)
    return 0
