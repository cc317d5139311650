"""The projector of IP-Adapter-Instruct: a resampler that also reads what shall be taken from the picture."""

from torch import Tensor, nn

from ...checkpoint.spec import ProjectorSpec
from .resampler import PerceiverAttention, Resampler, feed_forward


class InstructedResampler(Resampler):
    """A picture, the prompt and an instruction to image tokens; each layer reads them in this order.

    Source: unity-research/IP-Adapter-Instruct (d5fa8b5), ip_adapter/resampler_Instruct.py, ResamplerInstructBigger.
    """

    def __init__(self, spec: ProjectorSpec, operations, dtype=None, device=None):
        super().__init__(spec, operations, dtype=dtype, device=device)
        options = {"dtype": dtype, "device": device}
        width, inner = spec.width, spec.heads * 64

        def layers() -> nn.ModuleList:
            return nn.ModuleList(
                nn.ModuleList(
                    (
                        PerceiverAttention(width, spec.heads, inner, operations, **options),
                        feed_forward(width, operations, **options, times=2),
                    )
                )
                for _ in range(spec.depth)
            )

        self.proj_new_input = operations.Linear(spec.text_width, width, **options)
        self.proj_prompt_input = operations.Linear(spec.text_width, width, **options)
        self.prompt_layers = layers()
        self.new_input_layers = layers()

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        """picture (B, L, E), instruction and prompt (B, T, text) -> (B, N, C)."""
        picture, instruction, prompt = features
        sources = (self.proj_in(picture), self.proj_prompt_input(prompt), self.proj_new_input(instruction))
        latents = self.latents.to(sources[0]).expand(picture.shape[0], -1, -1)
        for step in zip(self.layers, self.prompt_layers, self.new_input_layers, strict=True):
            for source, (attention, transition) in zip(sources, step, strict=True):  # type: ignore[misc]
                latents = attention(source, latents) + latents
                latents = transition(latents) + latents
        return self.norm_out(self.proj_out(latents))
