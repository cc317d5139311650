"""PuLID in miniature: keys and shapes of its files, features such as *Encode Face* makes, and its equations stated anew."""

import math

import torch
from pack.tools.miniature.faces import affine, norm, perceiver_layer
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, leaky_relu, linear

Shapes = dict[str, tuple[int, ...]]
STATES, IDENTITY_TOKENS = 5, 5
CONDITION, LOOK = 544, 48  # widths: the identity of 512 with a pooled vector of 32, and the encoder's hidden states
PREFIXES = {"flux": "pulid_encoder.", "sdxl": "id_adapter."}


def mapping(name: str, inputs: int, hidden: int, outputs: int) -> Shapes:
    """Three linear layers, a norm behind the first two."""
    return {**affine(f"{name}.0", hidden, inputs), **norm(f"{name}.1", hidden), **affine(f"{name}.3", hidden, hidden),
            **norm(f"{name}.4", hidden), **affine(f"{name}.6", outputs, hidden)}  # fmt: skip


def id_former(
    context: int, width: int = 128, tokens: int = 6, condition: int = CONDITION, look: int = LOOK, depth: int = 10
) -> Shapes:
    """The keys of an IDFormer."""
    shapes: Shapes = {"latents": (1, tokens, width), "proj_out": (width, context)}
    for number in range(depth):
        shapes |= perceiver_layer(f"layers.{number}", width, width)
    for number in range(STATES):
        shapes |= mapping(f"mapping_{number}", look, look, width)
    return shapes | mapping("id_embedding_mapping", condition, look, IDENTITY_TOKENS * width)


def pulid_flux(layers: int, width: int, context: int = 64, inner: int = 256, former: Shapes | None = None) -> Shapes:
    """The keys of a PuLID file for FLUX.1."""
    shapes = {f"pulid_encoder.{key}": shape for key, shape in (former or id_former(context)).items()}
    for number in range(layers):
        name = f"pulid_ca.{number}"
        shapes |= {
            **norm(f"{name}.norm1", context), **norm(f"{name}.norm2", width), f"{name}.to_q.weight": (inner, width),
            f"{name}.to_kv.weight": (2 * inner, context), f"{name}.to_out.weight": (width, inner),
        }  # fmt: skip
    return shapes


PUBLISHED_FACE = {"condition": 1280, "look": 1024, "places": 577}  # sizes of what the published files read


def face_features(seed: int = 8, condition: int = CONDITION, look: int = LOOK, places: int = 7) -> tuple[Tensor, ...]:
    """A face as the adapter reads it: the condition (1, C) and the encoder's five hidden states (1, L, E)."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(STATES, 1, places, look, generator=generator)
    return torch.randn(1, condition, generator=generator), *states


def part_of(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights below a prefix, in float64."""
    return {key.removeprefix(prefix): one.double() for key, one in weights.items() if key.startswith(prefix)}


def stated_mapping(part: dict[str, Tensor], name: str, given: Tensor) -> Tensor:
    """Linear, norm, leaky rectifier of slope 0.01; twice; linear."""
    for number in (0, 3):
        given = linear(given, part[f"{name}.{number}.weight"], part[f"{name}.{number}.bias"])
        scale, shift = part[f"{name}.{number + 1}.weight"], part[f"{name}.{number + 1}.bias"]
        given = leaky_relu(layer_norm(given, given.shape[-1:], scale, shift), 0.01)
    return linear(given, part[f"{name}.6.weight"], part[f"{name}.6.bias"])


def stated_attention(part: dict[str, Tensor], source: Tensor, query: Tensor, head: int, joined: bool) -> Tensor:
    """Cross-attention of normalised queries to normalised sources; with `joined`, to the queries themselves as well."""
    context = layer_norm(source, source.shape[-1:], part["norm1.weight"], part["norm1.bias"])
    own = layer_norm(query, query.shape[-1:], part["norm2.weight"], part["norm2.bias"])
    seen = torch.cat((context, own), 1) if joined else context
    asked = (own @ part["to_q.weight"].T).unflatten(-1, (-1, head)).transpose(1, 2)
    key, value = (one.unflatten(-1, (-1, head)).transpose(1, 2) for one in (seen @ part["to_kv.weight"].T).chunk(2, -1))
    scores = (asked @ key.mT / math.sqrt(head)).softmax(-1)
    return (scores @ value).transpose(1, 2).flatten(2) @ part["to_out.weight"].T


def stated_former(
    weights: dict[str, Tensor], prefix: str, features: tuple[Tensor, ...], identity: Tensor | None = None
) -> Tensor:
    """The tokens (B, N, C) of an IDFormer in float64; `identity` are its identity tokens where there are several conditions.

    ToTheBeginning/PuLID, pulid/encoders_transformer.py.
    """
    part = part_of(weights, prefix)
    condition, *states = (one.double() for one in features)
    width = part["latents"].shape[-1]
    if identity is None:
        identity = stated_mapping(part, "id_embedding_mapping", condition).unflatten(-1, (IDENTITY_TOKENS, width))
    latents = torch.cat((part["latents"].expand(len(condition), -1, -1), identity), 1)
    depth = 1 + max(int(key.split(".")[1]) for key in part if key.startswith("layers."))
    for number, state in enumerate(states):
        context = torch.cat((identity, stated_mapping(part, f"mapping_{number}", state)), 1)
        for layer in range(number * depth // STATES, (number + 1) * depth // STATES):
            name = f"layers.{layer}"
            latents = latents + stated_attention(part_of(part, f"{name}.0."), context, latents, 64, joined=True)
            normed = layer_norm(latents, (width,), part[f"{name}.1.0.weight"], part[f"{name}.1.0.bias"])
            latents = latents + gelu(normed @ part[f"{name}.1.1.weight"].T) @ part[f"{name}.1.3.weight"].T
    return latents[:, : part["latents"].shape[1]] @ part["proj_out"]
