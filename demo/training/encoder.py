"""Training of the image encoder: two references in one style meet, and the style can be read off the embedding."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from ...ipadapter_core.training.loop import Training
from ...ipadapter_core.training.schedule import Schedule
from ..encoder import CONFIG
from ..references import wild
from ..textures import TEXTURE_NAMES
from ..world import Scene, random_scene, same_style

BATCH = 32
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def normalise(pictures: Tensor) -> Tensor:
    """Images (B, 3, H, W) in 0..1 as CLIP sees them."""
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    return (pictures - mean) / std


class StyleHeads(nn.Module):
    """Reads a style off an embedding, linearly: only what is linear in it can an adapter's linear projector use."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8 + 2 * len(TEXTURE_NAMES), width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(8 + 2 * len(TEXTURE_NAMES)))
        self.temperature = nn.Parameter(torch.tensor(2.0))

    def loss(self, embedding: Tensor, scene: Scene) -> Tensor:
        """How far the read-off style is from the true one."""
        read = functional.linear(embedding, self.weight, self.bias)
        colours = torch.cat([scene.object_colour, scene.background_colour], dim=-1)
        colour_loss = (read[:, :6] - colours).square().mean()
        kinds = len(TEXTURE_NAMES)
        front = functional.cross_entropy(read[:, 8 : 8 + kinds], scene.object_texture)
        back = functional.cross_entropy(read[:, 8 + kinds :], scene.background_texture)
        direction = torch.stack([(2 * scene.angle).cos(), (2 * scene.angle).sin()], dim=-1)
        directed = ((scene.background_texture == 1) | (scene.background_texture == 4)).float()[:, None]
        direction_loss = ((read[:, 6:8] - direction).square() * directed).mean()
        return 30 * colour_loss + 0.3 * (front + back) + 0.5 * direction_loss

    def contrast(self, one: Tensor, other: Tensor) -> Tensor:
        """Each image must find its partner in the batch (Radford et al. 2021)."""
        similarity = functional.normalize(one, dim=-1) @ functional.normalize(other, dim=-1).T
        similarity = similarity * self.temperature.exp().clamp(max=50)
        partner = torch.arange(len(one))
        return (functional.cross_entropy(similarity, partner) + functional.cross_entropy(similarity.T, partner)) / 2


def train_encoder(schedule: Schedule, folder: Path, seed: int) -> Training:
    """Trains the encoder and returns the finished stage; its keys are `encoder.*` and `heads.*`."""
    torch.manual_seed(seed)
    encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**{**CONFIG, "initializer_factor": 1.0}))
    heads = StyleHeads(CONFIG["projection_dim"])
    with torch.no_grad():
        encoder.visual_projection.weight.normal_(std=CONFIG["hidden_size"] ** -0.5)
    both = nn.ModuleDict({"encoder": encoder, "heads": heads}).train()
    training = Training("encoder", dict(both.named_parameters()), schedule, folder / "encoder.safetensors")

    def loss(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        scene = random_scene(BATCH, generator)
        pictures = torch.cat([wild(scene, generator), wild(same_style(scene, generator), generator)])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            embedding = encoder(pixel_values=normalise(pictures)).image_embeds
        one, other = embedding.float().chunk(2)
        return heads.loss(one, scene) + heads.loss(other, scene) + 0.5 * heads.contrast(one, other)

    training.run(loss)
    return training
