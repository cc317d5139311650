"""torch.compile as ComfyUI's node sets it up: whole, and once for each structure."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

import comfy.ldm.cosmos.predict2
import comfy.ldm.modules.attention
from comfy.model_patcher import ModelPatcher
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras.nodes_torch_compile import skip_torch_compile_dict

from ...ipadapter_core.sampling.strength import Strength
from ...ipadapter_core.weights.schedule import WeightSchedule
from ..bench.steps import fill
from ..miniature.transformers import lucifer
from .setup import Setup, relative
from .world import FAMILIES, Family, World, dtype_of, network, sample, tiny_unet, world

APART = {torch.float16: 2e-2, torch.bfloat16: 1e-1}  # of the output: a compiler orders operations anew
FEW_LAYERS = {
    "channel_mult": [1, 2], "num_res_blocks": [1, 1], "transformer_depth": [1, 1], "transformer_depth_output": [1] * 4,
}  # fmt: skip
FEW = {
    "SD1.5": (FEW_LAYERS, tiny_unet("SD1.5", **FEW_LAYERS)),
    "Anima": ({"num_blocks": 1}, lambda: lucifer(1, 128)),
}
FADING = Strength(schedule=WeightSchedule(((0.0, 1.0), (1.0, 0.2))))


class Counter:
    """A backend that counts the programs it is given, and compiles them with another one or runs them as they are."""

    def __init__(self, backend: Callable[..., Any] | None = None):
        self.programs = 0
        self.backend = backend

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any], **_: Any) -> Callable[..., Any]:
        """One program."""
        self.programs += 1
        return self.backend(graph, inputs) if self.backend else graph.forward


def compiles_once(setup: Setup) -> None:
    """SD1.5 with the compiler that users have, Anima, whose blocks have no hooks, with none; no graph break is allowed."""
    torch._dynamo.reset()
    with _attention_as_on_a_gpu(setup):
        for name in ("SD1.5", "Anima"):
            family = next(family for family in FAMILIES if family.name == name)
            given = _few_layers(family, setup) if setup.tiny else world(family, setup)
            _one(given, _inductor() if setup.on_gpu and name == "SD1.5" else None, setup)
            torch._dynamo.reset()


def _few_layers(family: Family, setup: Setup) -> World:
    """A miniature with a layer of every kind and few of each: compiling takes its time."""
    sizes, shapes = FEW[family.name]
    model = network(family, setup, dtype_of(family, setup), **sizes)
    fill(model.model.diffusion_model)
    return world(family._replace(tiny_shapes=shapes), setup, model)


def _one(given: World, backend: Callable[..., Any] | None, setup: Setup) -> None:
    name, counter = given.family.name, Counter(backend)
    expected = sample(given, given.applied(), 2)
    out = sample(given, _compiled(given.applied(), counter), 2)
    setup.at_most("laws", f"{name}: programs of torch.compile for an adapter, none of them broken", counter.programs, 1)
    apart = relative(out - expected, expected)
    setup.at_most(
        "laws", f"{name}: a compiled step beside the step itself", apart, APART[given.model.model.get_dtype()]
    )
    before = counter.programs
    sample(given, _compiled(given.applied(Strength(0.5), seed=11), counter), 2)
    further = f"{name}: further programs for a new Apply of the same structure"
    setup.at_most("laws", further, counter.programs - before, 0)
    before = counter.programs
    sample(given, _compiled(given.applied(FADING), counter), 3)
    setup.at_most("laws", f"{name}: programs for a schedule over three steps", counter.programs - before, 1)


def _compiled(model: ModelPatcher, counter: Counter) -> ModelPatcher:
    clone = model.clone(disable_dynamic=True)
    options = {"guard_filter_fn": skip_torch_compile_dict}
    set_torch_compile_wrapper(model=clone, backend=counter, options=options, fullgraph=True)
    return clone


def _inductor() -> Callable[..., Any]:
    from torch._inductor.compile_fx import compile_fx

    return compile_fx


@contextmanager
def _attention_as_on_a_gpu(setup: Setup) -> Iterator[None]:
    """PyTorch's attention on a CPU as well; what ComfyUI takes there cannot be compiled."""
    attention = comfy.ldm.modules.attention
    modules = () if setup.on_gpu else (attention, comfy.ldm.cosmos.predict2)
    before = [module.optimized_attention for module in modules]
    try:
        for module in modules:
            module.optimized_attention = attention.attention_pytorch
        yield
    finally:
        for module, one in zip(modules, before, strict=True):
            module.optimized_attention = one
