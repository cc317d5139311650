"""Right, layer by layer: our error against float64 beside that of separate attention calls in the same dtype."""

import torch

from .setup import Setup, relative
from .shapes import Case, Shape, cases, shapes
from .ways import fused, layer, plain, separate, stated

BAR = 1.1  # of the error of separate calls
DTYPES = (torch.float16, torch.bfloat16)


def layers_are_right(setup: Setup) -> None:
    """Every shape in every case: the worst ratio of a family and a way is the figure."""
    torch.manual_seed(0)
    worst: dict[tuple[str, str, torch.dtype], tuple[float, str]] = {}
    for shape in shapes(setup.tiny):
        for dtype in DTYPES:
            for case in cases():
                for way, ratio in _ratios(shape, case, setup, dtype).items():
                    key = (shape.family, way, dtype)
                    worst[key] = max(worst.get(key, (0.0, "")), (ratio, f"{shape.name}, {case.name}"))
    for (family, way, dtype), (ratio, where) in worst.items():
        name = f"{family} {str(dtype).removeprefix('torch.')}, {way}: error over that of separate calls"
        setup.at_most("right", name, ratio, BAR, note=where)
    if not setup.on_gpu:
        setup.not_here(
            "right", "the fused kernel on every shape", "needs a CUDA GPU; the suite has Triton's interpreter"
        )


def _ratios(shape: Shape, case: Case, setup: Setup, dtype: torch.dtype) -> dict[str, float]:
    one = layer(shape, case, setup.device, dtype)
    wanted = stated(one)
    calls = relative(separate(one).double() - wanted, wanted)
    found = {"plain": relative(plain(one).double() - wanted, wanted) / calls}
    if setup.on_gpu and shape.text:
        found["fused"] = relative(fused(one).double() - wanted, wanted) / calls
    return found
