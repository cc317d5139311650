"""What each weight type of ComfyUI_IPAdapter_plus does to a layer, stated in float64."""

import torch
from pack.ipadapter_core.compat.weight_types import Results
from pack.ipadapter_core.patchers.families.unet import layer_map

RESULTS = [one.value for one in Results]


CORRECTED, AS_PLUS = RESULTS


W, BOOST = 0.7, 1.3


COUNT, MIDDLE = {"SD1.5": 16, "SDXL": 11}, {"SD1.5": 6, "SDXL": 4}


STYLE = {"SD1.5": {0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15}, "SDXL": {6}}


COMPOSITION = {"SD1.5": {4: 0.25, 5: 1.0}, "SDXL": {3: 1.0}}


def stated(kind: str, base: str, results: str, w: float = W, boost: float | None = None):
    """For each index t in running order: what the positive and the negative pass add, and whether that is the reference."""
    count, middle, style, composition = COUNT[base], MIDDLE[base], STYLE[base], COMPOSITION[base]

    def weight(t: int) -> float:
        half = count / 2
        part = "middle" if t == middle else "input" if t < middle else "output"
        both = {t: w for t in style} | {t: share for t, share in composition.items()}
        return {
            "linear": w,
            "ease in": w * (0.05 + 0.95 * (1 - t / count)),
            "ease out": w * (0.05 + 0.95 * t / count),
            "ease in-out": w * (0.05 + 0.95 * (1 - abs(t - half) / half)),
            "reverse in-out": w * (0.05 + 0.95 * abs(t - half) / half),
            "weak input": w * (0.2 if part == "input" else 1),
            "weak middle": w * (0.2 if part == "middle" else 1),
            "weak output": w * (0.2 if part == "output" else 1),
            "strong middle": w * (1 if part == "middle" else 0.2),
            "style transfer": w if t in style else 0,
            "composition": w * composition.get(t, 0),
            "strong style transfer": 0 if t in composition else w,
            "style and composition": both.get(t, 0),
            "style transfer precise": w if t in style else second * composition.get(t, 0),
            "composition precise": w * composition[t] if t in composition else second * (1 if t in style else 0.1),
        }[kind]

    second = w if boost is None else boost
    injected = {"style transfer precise": set(composition), "composition precise": set(range(count)) - set(composition)}
    rows = []
    for t in range(count):
        value = 0.0 if results == AS_PLUS and t == middle else weight(t)
        turned = t in injected.get(kind, ())
        rows.append((0.0 if turned else value, value, turned))
    return rows


def blocks_of(model):
    """The model's cross-attention layers, and the index in running order of the block that each is in."""
    order = {"input": 0, "middle": 1, "output": 2}
    blocks = [layer.block for layer in layer_map(model.model.diffusion_model)]
    running = sorted({block[:2] for block in blocks}, key=lambda block: (order[block[0]], block[1]))
    return blocks, [running.index(block[:2]) for block in blocks]


def combined(method: str, results: str, e: torch.Tensor) -> torch.Tensor:
    """(N, E) -> (1, E), written out."""
    rows = e.double()
    if method == "norm average" and results == AS_PLUS:
        return (rows / rows.square().sum(0).sqrt()).sum(0, keepdim=True) / len(rows)
    if method == "norm average":
        lengths = rows.square().sum(-1, keepdim=True).sqrt()
        direction = (rows / lengths).sum(0, keepdim=True)
        return direction / direction.square().sum().sqrt() * lengths.mean()
    return {
        "concat": rows,
        "add": rows.sum(0, keepdim=True),
        "subtract": rows[:1] - rows[1:].mean(0, keepdim=True),
        "average": rows.mean(0, keepdim=True),
        "max": rows.amax(0, keepdim=True),
        "min": rows.amin(0, keepdim=True),
    }[method]
