"""The projector of IP-Adapter-Instruct: a resampler that also reads what should be taken from the image."""

from typing import Any

from torch import Tensor

from ...checkpoint.spec import ProjectorSpec
from ...host import Operations
from .resampler import ResamplerParts, perceiver_layers


class InstructedResampler(ResamplerParts):
    """An image, the prompt and an instruction to image tokens; each layer reads them in this order.

    Source: unity-research/IP-Adapter-Instruct (d5fa8b5), ip_adapter/resampler_Instruct.py, ResamplerInstructBigger.
    """

    def __init__(self, spec: ProjectorSpec, operations: Operations, **options: Any) -> None:
        super().__init__(spec, operations, **options)
        width = spec.width
        self.proj_new_input = operations.Linear(spec.text_width, width, **options)
        self.proj_prompt_input = operations.Linear(spec.text_width, width, **options)
        self.prompt_layers, self.new_input_layers = (
            perceiver_layers(spec.depth, width, spec.heads, operations, 2, **options) for _ in range(2)
        )

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """image (B, L, E), instruction and prompt (B, T, text) -> (B, N, C)."""
        picture, instruction, prompt = features
        sources = (self.proj_in(picture), self.proj_prompt_input(prompt), self.proj_new_input(instruction))
        latents = self.latents.to(sources[0]).expand(picture.shape[0], -1, -1)
        for step in zip(self.layers, self.prompt_layers, self.new_input_layers, strict=True):
            for source, layer in zip(sources, step, strict=True):
                latents = layer(source, latents)
        return self.norm_out(self.proj_out(latents))
