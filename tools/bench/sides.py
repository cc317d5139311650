"""The sides that are compared at one layer: the base attention, the floor, and ours as ComfyUI calls it.

The floor is the least that the decoupled equation asks for with ready-made parts: for each adapter one attention over keys
and values that already lie in the right shape, device and dtype, and one addition in place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

import comfy.ldm.modules.attention
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP

from ...ipadapter_core.adapter.key_value_bank import KeyValueBank
from ...ipadapter_core.adapter.several_references import WeightedBank
from ...ipadapter_core.masks.canvas_mask import canvas_mask
from ...ipadapter_core.patchers.families.flux import FLUX
from ...ipadapter_core.patchers.families.unet import UNET, layer_map
from ...ipadapter_core.patchers.hooks.wrappers import RUN, add_application
from ...ipadapter_core.sampling.application import Application
from ...ipadapter_core.sampling.polarity import GuiderRoles
from ...ipadapter_core.sampling.run import Run
from ...ipadapter_core.sampling.strength import Strength
from ...ipadapter_core.sampling.timeline import Timeline
from ...ipadapter_core.weights.layer_weights import LayerWeight
from ...ipadapter_core.weights.schedule import WeightSchedule
from .scenes import Layer, Scene, model_at_size

PERCENT = 0.5  # the place in the run that is measured
FADE = WeightSchedule(((0.0, 0.2), (1.0, 1.0)))


class Case(NamedTuple):
    """What is measured: a scene, image tokens of each adapter, and what is switched on. `frames` have own references."""

    scene: Scene
    tokens: int
    adapters: int = 1
    mask: bool = False
    schedule: bool = False
    pictures: int = 1
    frames: bool = False


@dataclass(frozen=True)
class Machine:
    """Where it is measured."""

    device: torch.device
    dtype: torch.dtype

    def random(self, *shape: int) -> Tensor:
        """Noise there."""
        return torch.randn(shape, device=self.device, dtype=self.dtype)


class Given(NamedTuple):
    """The tensors of one layer that all sides share; `ready` is what the base attention is taken to have returned."""

    layer: Layer
    query: Tensor
    key: Tensor
    value: Tensor
    ready: Tensor
    is_flux: bool

    @property
    def rows(self) -> Tensor:
        """The query by heads, (B, H, L, D / H), without what is no picture's."""
        if not self.is_flux:
            return self.query.view(*self.query.shape[:2], self.layer.heads, -1).transpose(1, 2)
        return self.query[:, :, self.layer.text :] if self.layer.block[0] == "double" else self.query

    @property
    def target(self) -> Tensor:
        """The part of what is ready that image tokens add to, by heads as `rows`."""
        part = self.ready[:, self.layer.text :] if self.layer.block[0] == "double" else self.ready
        return part.view(*part.shape[:2], self.layer.heads, -1).transpose(1, 2)


def given(case: Case, layer: Layer, machine: Machine) -> Given:
    """Random tensors of the layer's true shapes; FLUX has one row of tokens for text and picture."""
    batch, is_flux = case.scene.passes * case.pictures, case.scene.model == "FLUX"
    if is_flux:
        length = layer.text + layer.tokens
        query, key, value = (machine.random(batch, layer.heads, length, layer.width // layer.heads) for _ in range(3))
    else:
        length = layer.tokens
        query = machine.random(batch, length, layer.width)
        key, value = (machine.random(batch, layer.text, layer.width) for _ in range(2))
    return Given(layer, query, key, value, machine.random(batch, length, layer.width), is_flux)


def base(one: Given) -> Callable[[], Tensor]:
    """The text's attention (FLUX: that of all tokens to each other) by ComfyUI's own function."""
    attention, heads = comfy.ldm.modules.attention.optimized_attention, one.layer.heads
    return lambda: attention(one.query, one.key, one.value, heads, skip_reshape=one.is_flux)


def floor(one: Given, case: Case, machine: Machine) -> Callable[[], None]:
    """One attention over ready keys and values, and one addition in place, for each adapter."""
    heads = one.layer.heads
    shape = (one.query.shape[0], heads, case.tokens, one.layer.width // heads)
    pairs = [(machine.random(*shape), machine.random(*shape)) for _ in range(case.adapters)]

    def by_heads() -> None:
        for key, value in pairs:
            one.target.add_(scaled_dot_product_attention(one.rows, key, value))

    def work() -> None:
        for key, value in pairs:
            one.ready.add_(scaled_dot_product_attention(one.rows, key, value).transpose(1, 2).reshape(one.ready.shape))

    return by_heads if one.is_flux else work


class Ours:
    """Applications on a model of true structure, and a step of it up to the point where the layers run."""

    def __init__(self, case: Case, machine: Machine, model: ModelPatcher | None = None):
        self.case, self.machine = case, machine
        self.model = model or model_at_size(case.scene.model)
        self.options = self.model.model_options["transformer_options"]
        network = self.model.model.diffusion_model
        family = FLUX if case.scene.model == "FLUX" else UNET
        blocks = _blocks(case.scene, network)
        self.applications = [_application(case, blocks) for _ in range(case.adapters)]
        for application in self.applications:
            self.model = add_application(self.model, application, family.compose)
        percent_to_sigma = self.model.get_model_object("model_sampling").percent_to_sigma
        self.sigma = float(percent_to_sigma(PERCENT))
        self.conds = [[{"uuid": 0}], [{"uuid": 1}]]
        roles = GuiderRoles(dict(zip(("positive", "negative"), self.conds, strict=True)))
        self.run = Run(roles, Timeline(percent_to_sigma))  # as sampling begins one
        self.step()

    def step(self) -> None:
        """Everything that a step decides before the layers run, through ComfyUI's own chain of wrappers."""
        case, machine = self.case, self.machine
        latent = torch.zeros(case.pictures, 4, *case.scene.latent, device=machine.device, dtype=machine.dtype)
        sigma = torch.full((case.pictures,), self.sigma)
        passes = [1, 0][-case.scene.passes :]
        stand_in = SimpleNamespace(
            get_dtype_inference=lambda: machine.dtype,
            model_sampling=self.model.get_model_object("model_sampling"),
            diffusion_model=self.model.model.diffusion_model,
        )

        def network(x, t, c_concat, c_crossattn, control, options, **_):
            self.options = options

        def batch(_model, conds, x, t, model_options):
            options = model_options["transformer_options"] | {"cond_or_uncond": passes, "uuids": passes}
            chain = WrapperExecutor.new_class_executor(
                network, stand_in, self.model.get_all_wrappers(WrappersMP.APPLY_MODEL)
            )
            chain.execute(x.repeat(len(passes), 1, 1, 1), t, None, None, None, options)

        options = self.model.model_options | {
            "transformer_options": self.model.model_options["transformer_options"] | {RUN: self.run}
        }
        chain = WrapperExecutor.new_class_executor(
            batch, stand_in, self.model.get_all_wrappers(WrappersMP.CALC_COND_BATCH)
        )
        chain.execute(stand_in, self.conds, latent, sigma, options)

    def layer_options(self, layer: Layer) -> dict[str, Any]:
        """What ComfyUI tells the hooks of a layer."""
        shape = [self.case.scene.passes * self.case.pictures, layer.width, *layer.grid]
        told = {"n_heads": layer.heads, "activations_shape": shape, "original_shape": [*shape[:1], 4, *self.case.scene.latent],
                "block": layer.block[:2], "block_index": layer.block[2], "sigmas": torch.full((1,), self.sigma)}  # fmt: skip
        if self.case.scene.model == "FLUX":
            told |= {"block_type": layer.block[0], "block_index": layer.block[1],
                     "img_slice": [layer.text, layer.text + layer.tokens]}  # fmt: skip
        return self.options | told

    def work(self, one: Given) -> Callable[[], Tensor]:
        """A layer's call of our hooks; the base attention is inside, unless `unet.base_attention` was replaced."""
        options = self.layer_options(one.layer)
        if one.is_flux:
            queries, after = (
                self.options["patches"]["attn1_patch"][0],
                self.options["patches"]["attn1_output_patch"][-1],
            )

            def around() -> Tensor:
                extra = dict(options)
                queries(one.query, one.key, one.value, pe=one.query, extra_options=extra)  # the rotation comes after it
                return after(one.ready, extra)

            return around
        hook = self.options["patches_replace"]["attn2"][one.layer.block]
        return lambda: hook(one.query, one.key, one.value, options)


def _blocks(scene: Scene, network) -> list[tuple[tuple[str, int, int], int]]:
    if scene.model == "FLUX":
        return [(layer.block, layer.width) for layer in scene.layers]
    return [(layer.block, layer.width) for layer in layer_map(network)]


def _application(case: Case, blocks) -> Application:
    """Random keys and values for every layer, negative and positive, and a mask over half of the picture."""
    noise = torch.randn(2 * 2 * case.tokens * max(width for _, width in blocks))

    def part(width: int, start: int) -> Tensor:
        return noise[start : start + 2 * case.tokens * width].view(2, case.tokens, width)

    bank = KeyValueBank(
        tuple(part(width, 0) for _, width in blocks), tuple(part(width, noise.numel() // 2) for _, width in blocks)
    )
    mask = canvas_mask(torch.linspace(0, 1, case.scene.pixels).expand(1, case.scene.pixels, -1)) if case.mask else None
    banks = (WeightedBank(bank),) * (case.pictures if case.frames else 1)
    return Application(
        tuple(block for block, _ in blocks),
        banks,
        tuple(LayerWeight() for _ in blocks),
        Strength(0.8, schedule=FADE if case.schedule else None),
        mask,
        per_frame=case.frames and case.pictures > 1,
    )
