"""The base model of a training: loaded by ComfyUI, frozen, called through the hooks of sampling, and left as it was."""

import copy
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import comfy.model_management
from comfy.model_patcher import ModelPatcher

from ..errors import TrainingError
from ..patchers.hooks.wrappers import NAME, RUN, STEP
from ..sampling.application import Application
from ..sampling.run import Run
from .fingerprint import weights_digest
from .gradient_checkpoints import checkpointed, norms_with_copies
from .precision import DTYPES, Precision, computing
from .rotary_gradient import give_gradient

OF_ONE_MODEL = ("backup", "backup_buffers", "object_patches_backup", "pinned")  # what a patcher notes of its own model
EVERYTHING = 1e20  # bytes: more than there is, so that ComfyUI loads as little of a model as it can


@dataclass(frozen=True)
class BaseSettings:
    """How the base model computes: in which numbers, whether its blocks compute twice, whether its weights stay outside."""

    precision: Precision = Precision.BF16
    checkpointing: bool = True
    offloading: bool = False


@dataclass(frozen=True, eq=False)
class FrozenBase:
    """A patched model, loaded for training, and SHA-256 of its weights."""

    patcher: ModelPatcher
    settings: BaseSettings
    digest: str

    @property
    def model(self) -> Any:
        """ComfyUI's model: its network, its noise, its latent format."""
        return self.patcher.model

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.patcher.load_device

    def denoised(
        self, application: Application | None, noisy: Tensor, sigma: Tensor, arguments: dict[str, Any]
    ) -> Tensor:
        """What the model takes for the image in noisy latents (B, C, H, W) at noise levels (B), under an application."""
        with computing(self.settings.precision, self.device):
            options = self._options(application, noisy, sigma)
            return self.model.apply_model(noisy, sigma, transformer_options=options, **arguments)

    def _options(self, application: Application | None, noisy: Tensor, sigma: Tensor) -> dict[str, Any]:
        """What a sampler would say of this call: one positive pass, in which each row has a reference of its own."""
        given = dict(self.patcher.model_options["transformer_options"])
        applications = [] if application is None else [application]
        run = Run()
        return given | {
            "patches": given.get("patches", {}) | {NAME: applications},
            "wrappers": {kind: dict(one) for kind, one in self.patcher.wrappers.items()},
            "cond_or_uncond": [0],
            "sigmas": sigma,
            RUN: run,
            STEP: run.step([None], noisy, sigma, applications),
        }


@contextmanager
def frozen_base(
    model: ModelPatcher, settings: BaseSettings, prepare: Callable[[ModelPatcher], ModelPatcher]
) -> Generator[FrozenBase, None, None]:
    """A patched clone of a model, loaded and frozen while it lasts; the model itself stays as it was.

    Raises `TrainingError` at the end where the weights are not to the bit what they were before.
    """
    give_gradient()
    comfy.model_management.unload_all_models()  # whatever was patched into the weights is taken out
    own = prepare(_of_ordinary_tensors(model))
    own.set_model_compute_dtype(DTYPES[settings.precision])
    before = weights_digest(own.model.diffusion_model)
    with _loaded(own, settings):
        yield FrozenBase(own, settings, before)
    if weights_digest(own.model.diffusion_model) != before:
        raise TrainingError(
            "the base model's weights changed while an adapter was trained on it, expected them to stay: take the nodes of "
            "other packs between the model and Train IP-Adapter out"
        )


@contextmanager
def _loaded(own: ModelPatcher, settings: BaseSettings) -> Generator[None, None, None]:
    network: nn.Module = own.model.diffusion_model
    with ExitStack() as stack:
        stack.callback(comfy.model_management.unload_all_models)
        stack.callback(setattr, comfy.model_management, "in_training", False)
        for parameter in own.model.parameters():
            if parameter.requires_grad:
                stack.callback(parameter.requires_grad_, True)
                parameter.requires_grad_(False)
        stack.enter_context(norms_with_copies(network))
        if settings.checkpointing or settings.offloading:
            stack.enter_context(checkpointed(network))
        comfy.model_management.in_training = True
        comfy.model_management.load_models_gpu(
            [own], memory_required=EVERYTHING if settings.offloading else 0, force_full_load=not settings.offloading
        )
        yield


def _of_ordinary_tensors(model: ModelPatcher) -> ModelPatcher:
    """A clone whose weights a backward pass may keep; ComfyUI's nodes run where new tensors cannot be kept.

    Where the weights are such, they are read from their file again, as ComfyUI's own trainer does, or copied.
    """
    if not any(tensor.is_inference() for tensor in (*model.model.parameters(), *model.model.buffers())):
        return model.clone()
    if getattr(model, "cached_patcher_init", None) is not None:
        return model.clone(force_deepcopy=True)
    copied = model.clone()
    patcher, config = (getattr(model.model, name, None) for name in ("current_patcher", "model_config"))
    copied.model = copy.deepcopy(model.model, {id(patcher): None, id(config): config})
    for name in OF_ONE_MODEL:
        if hasattr(copied, name):
            setattr(copied, name, type(getattr(copied, name))())
    return copied
