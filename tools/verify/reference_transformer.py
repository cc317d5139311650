"""diffusers' transformers of FLUX and SD3.5, with the tensors of ComfyUI's file under diffusers' names.

The names and the cuts of joined projections are ComfyUI's own (comfy/utils.py, `flux_to_diffusers` and `mmdit_to_diffusers`);
diffusers' own conversion of a single file knows one width only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel
from einops import rearrange
from torch import Tensor, nn

import comfy.utils

from ...ipadapter_core.prompt.image_prompt import ImagePrompt
from .found import INSIDE_CHECKPOINT, Checkpoint
from .reference import features_of, nested
from .sampling import Call

HEAD = 64  # channels of SD3's attention heads


def renamed(weights: Mapping[str, Tensor], names: Mapping[str, Any], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors as diffusers names and cuts them."""
    found: dict[str, Tensor] = {}
    for theirs in wanted:
        place = names[theirs]
        ours, cut, change = (*place, None, None)[:3] if isinstance(place, tuple) else (place, None, None)
        tensor = weights[ours] if cut is None else weights[ours].narrow(*cut)
        found[theirs] = tensor if change is None else change(tensor)
    return found


def _weights(checkpoint: Checkpoint, dtype: torch.dtype) -> dict[str, Tensor]:
    weights = comfy.utils.load_torch_file(str(checkpoint.path), safe_load=True)
    start = INSIDE_CHECKPOINT if checkpoint.whole else ""
    return {key.removeprefix(start): one.to(dtype) for key, one in weights.items() if key.startswith(start)}


def _filled(network: nn.Module, weights: Mapping[str, Tensor], names: Mapping[str, Any]) -> Any:
    network.load_state_dict(renamed(weights, names, network.state_dict()))
    return network.eval()


class FluxReference:
    """FLUX.1 with XLabs' adapter."""

    def __init__(self, checkpoint: Checkpoint, sizes: dict[str, Any], device: torch.device, dtype: torch.dtype):
        heads = sizes["num_heads"]
        network = FluxTransformer2DModel(
            patch_size=1, in_channels=4 * sizes["in_channels"], num_layers=sizes["depth"],
            num_single_layers=sizes["depth_single_blocks"], attention_head_dim=sizes["hidden_size"] // heads,
            num_attention_heads=heads, joint_attention_dim=sizes["context_in_dim"], pooled_projection_dim=sizes["vec_in_dim"],
            guidance_embeds=sizes["guidance_embed"], axes_dims_rope=tuple(sizes["axes_dim"]),
        ).to(dtype)  # fmt: skip
        names = comfy.utils.flux_to_diffusers(sizes)
        self.network = _filled(network, _weights(checkpoint, dtype), names).to(device)
        self.device, self.dtype = device, dtype

    def attach(self, adapter: Path, weight: float) -> None:
        """XLabs' names, as diffusers' pipeline renames them before it reads them."""
        self.network._load_ip_adapter_weights([by_layer(adapter, self.dtype)], low_cpu_mem_usage=False)
        self.network.to(self.device)
        for processor in self.network.attn_processors.values():
            if hasattr(processor, "scale"):
                processor.scale = [weight]

    def output(self, call: Call, pixels: int, prompt: ImagePrompt | None) -> Tensor:
        """What FLUX returns for a call."""
        embeds = None
        if prompt is not None:
            embeds = [torch.stack([one.to(self.device, self.dtype) for one in features_of(prompt, call)])]
        text, pooled = call.text.to(self.dtype), call.pooled.to(self.dtype)
        return flux_output(self.network, call.latent, call.timestep, text, pooled, call.guidance, embeds)


def flux_output(
    network: FluxTransformer2DModel,
    latent: Tensor,
    sigma: Tensor,
    text: Tensor,
    pooled: Tensor,
    guidance: Tensor,
    embeds: list[Tensor] | None = None,
) -> Tensor:
    """diffusers' FLUX on a latent (B, C, H, W): patches of 2 x 2 latents, numbered by row and column."""
    rows, columns = latent.shape[-2] // 2, latent.shape[-1] // 2
    packed = rearrange(latent, "b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2)
    places = torch.zeros(rows, columns, 3, device=latent.device, dtype=latent.dtype)
    places[..., 1] += torch.arange(rows, device=latent.device)[:, None]
    places[..., 2] += torch.arange(columns, device=latent.device)
    words = places.new_zeros(text.shape[1], 3)
    more = None if embeds is None else {"ip_adapter_image_embeds": embeds}
    with torch.no_grad():
        out = network(
            packed, text, pooled, sigma, places.flatten(0, 1), words, guidance, joint_attention_kwargs=more
        ).sample
    return rearrange(out, "b (h w) (c p q) -> b c (h p) (w q)", h=rows, p=2, q=2)


class SD3Reference:
    """SD3.5 with InstantX' adapter."""

    def __init__(self, checkpoint: Checkpoint, sizes: dict[str, Any], device: torch.device, dtype: torch.dtype):
        width = HEAD * sizes["depth"]
        network = SD3Transformer2DModel(
            sample_size=sizes["pos_embed_max_size"], patch_size=sizes["patch_size"], in_channels=sizes["in_channels"],
            num_layers=sizes["depth"], attention_head_dim=HEAD, num_attention_heads=sizes["depth"],
            joint_attention_dim=sizes["context_embedder_config"]["params"]["in_features"], caption_projection_dim=width,
            pooled_projection_dim=sizes["adm_in_channels"], out_channels=sizes["out_channels"],
            pos_embed_max_size=sizes["pos_embed_max_size"], qk_norm="rms_norm" if sizes.get("qk_norm") else None,
            dual_attention_layers=tuple(sizes.get("x_block_self_attn_layers", ())),
        ).to(dtype)  # fmt: skip
        names = comfy.utils.mmdit_to_diffusers(sizes)
        self.network = _filled(network, _weights(checkpoint, dtype), names).to(device)
        self.device, self.dtype = device, dtype

    def attach(self, adapter: Path, weight: float) -> None:
        """The file as it is."""
        self.network._load_ip_adapter_weights(nested(adapter, self.dtype), low_cpu_mem_usage=False)
        self.network.to(self.device, self.dtype)
        for processor in self.network.attn_processors.values():
            processor.scale = weight

    def output(self, call: Call, pixels: int, prompt: ImagePrompt | None) -> Tensor:
        """The image's features go in beside the text, for the resampler that looks at the noise level."""
        more = {}
        if prompt is not None:
            features = torch.cat([one.to(self.device, self.dtype) for one in features_of(prompt, call)])
            more = {"joint_attention_kwargs": {"ip_adapter_image_embeds": features}}
        with torch.no_grad():
            return self.network(
                call.latent, call.text.to(self.dtype), call.pooled.to(self.dtype), call.timestep, **more
            ).sample


def by_layer(adapter: Path, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    """XLabs' file by part, its names as diffusers' loader of pipelines makes them (0.42.1, loaders/ip_adapter.py)."""
    found: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, tensor in comfy.utils.load_torch_file(str(adapter), safe_load=True).items():
        part, start = (
            ("image_proj", "ip_adapter_proj_model.")
            if key.startswith("ip_adapter_proj")
            else ("ip_adapter", "double_blocks.")
        )
        name = key.removeprefix(start).replace("processor.ip_adapter_double_stream_", "")
        for side in "kv":
            name = name.replace(f"{side}_proj", f"to_{side}_ip") if part == "ip_adapter" else name
        found[part][name] = tensor.to(dtype)
    return found
