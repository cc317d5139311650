"""Every face, style and instruction format in a whole UNet: against diffusers, or against the published equations."""

import pytest
import torch
from pack.ipadapter_core.checkpoint import face_formats, unet_formats
from pack.ipadapter_core.errors import ModelMismatchError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.families.unet import compose
from pack.ipadapter_core.patchers.hooks.wrappers import STEP, applications_of
from pack.ipadapter_core.prompt.features import each
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from pack.ipadapter_core.sampling.run import Run
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles import projectors as equations
from pack.tests.oracles.diffusers import fresh, relative, run_ours, run_theirs, some_call, twins
from pack.tools.miniature.faces import IDENTITY, PICTURE, TEXT, loaded, weights_of
from pack.tools.miniature.models import adapter_weights, tiny_model, widths_of

pytestmark = pytest.mark.faces

WEIGHT, STRUCTURE, DOWN, UP = 0.8, 0.7, 24, 36


def projector(weights):
    return equations.below(weights, "image_proj.")


TOKENS = {
    "FaceID": lambda w, x: equations.identity_tokens(w, x),
    "FaceID Plus": lambda w, x: equations.face_plus(w, x[0], x[1], False, 1.0),
    "FaceID Plus V2": lambda w, x: equations.face_plus(w, x[0], x[1], True, STRUCTURE),
    "Portrait": lambda w, x: equations.identity_tokens(w, x),
    "Portrait unnorm": lambda w, x: equations.resampler(w, x.unsqueeze(1), 2, 4),
    "Kolors plus": lambda w, x: equations.resampler(w, x, 2, 4),
    "Kolors FaceID Plus": lambda w, x: equations.face_plus(w, x[0], x[1], True, 1.0),
    "Instruct": lambda w, x: equations.instructed(w, *x, 4),
    "Art": lambda w, x: equations.style_tokens(w, x),
}
SDXL_ONLY = ("Kolors plus", "Kolors FaceID Plus", "CSGO")
BLENDS = {"FaceID Plus": (0.0, 1.0), "FaceID Plus V2": (1.0, STRUCTURE), "Kolors FaceID Plus": (1.0, 1.0)}


def features_of(kind, generator, dtype):
    """Random features of the right parts."""

    def noise(*shape):
        return torch.randn(1, *shape, generator=generator).to(dtype)

    if kind in BLENDS:
        return noise(IDENTITY), noise(17, PICTURE), torch.tensor([BLENDS[kind]], dtype=dtype)
    shapes = {"Kolors plus": (17, PICTURE), "Art": (PICTURE,)}
    if kind == "Instruct":
        return noise(17, PICTURE), noise(7, TEXT), noise(7, TEXT)
    if kind == "CSGO":
        return noise(17, PICTURE), noise(17, PICTURE)
    return noise(*shapes.get(kind, (IDENTITY,)))


def file_kind(kind):
    return kind.removesuffix(" V2") if kind.startswith("FaceID") else kind


def run_patched(pair, adapter, features, negative, call):
    """Our prediction with the adapter applied, negative and positive image in one batch."""
    prompt = ImagePrompt((Reference(EncodedImage(features, negative)),), adapter.spec.projector.feature, "a test")
    model = apply_image_prompt(pair.ours, adapter, prompt, Strength(WEIGHT))
    options = dict(model.model_options["transformer_options"]) | {"cond_or_uncond": [1, 0], "sigmas": call.timestep}
    step = Run().step([[], []], call.latent[:1], call.timestep, applications_of(options))
    return run_ours(pair, call, compose(applications_of(options), options | {STEP: step}, Run()))


class Given(torch.nn.Module):
    """A projector of diffusers' that returns the tokens it was made with."""

    def __init__(self, tokens):
        super().__init__()
        self.tokens = tokens

    def forward(self, _features):
        return self.tokens


def run_reference(pair, weights, tokens, call, scales=None):
    """diffusers' own attention processors with the file's keys and values, on tokens (2, N, C) of the equations."""
    fresh(pair)
    attention = equations.below(weights, "ip_adapter.")
    numbers = range(1, 140 if pair.base == "SDXL" else 32, 2)
    width = tokens.shape[-1]
    dummy = adapter_weights("base", [], width)
    sizes = {number: size for number, size in zip(numbers, widths_of(pair.ours), strict=True)}
    layers = {f"{n}.to_{part}_ip.weight": attention.get(f"{n}.to_{part}_ip.weight", torch.zeros(sizes[n], width))
              for n in numbers for part in "kv"}  # fmt: skip
    pair.theirs._load_ip_adapter_weights(
        [{"image_proj": projector(dummy), "ip_adapter": layers}], low_cpu_mem_usage=False
    )
    pair.theirs.to(tokens.dtype)
    pair.theirs.encoder_hid_proj.image_projection_layers[0] = Given(tokens)
    processors = [one for one in pair.theirs.attn_processors.values() if hasattr(one, "scale")]
    for number, processor in enumerate(processors):
        processor.scale = [WEIGHT * (scales(number) if scales else 1.0)]
    return run_theirs(pair, call, [torch.zeros(2, 1, 64, dtype=tokens.dtype)])


def shrink(monkeypatch, kind):
    """Kolors is told by widths that a miniature does not have."""
    monkeypatch.setattr(unet_formats, "KOLORS_WIDTH", 160)
    monkeypatch.setattr(face_formats, "KOLORS_TEXT_WIDTH", 192)


def compare(base, kind, dtype, folder):
    """Error over effect."""
    pair = twins(base, dtype)
    fresh(pair)
    call = some_call(base, 2, dtype)
    context = call.text.shape[-1]
    weights = {
        key: tensor.to(dtype) for key, tensor in weights_of(file_kind(kind), widths_of(pair.ours), context).items()
    }
    generator = torch.Generator().manual_seed(9)
    features, negative = (features_of(kind, generator, dtype) for _ in range(2))
    plain = run_theirs(pair, call)
    both = each(lambda one, other: torch.cat((one, other)), negative, features)
    double = each(torch.Tensor.double, both)
    tokens = TOKENS[kind]({key: tensor.double() for key, tensor in projector(weights).items()}, double)
    if kind == "Kolors FaceID Plus":
        hid = pair.ours.model.diffusion_model.encoder_hid_proj
        tokens = tokens @ hid.weight.double().T + hid.bias.double()
    theirs = run_reference(pair, weights, tokens.to(dtype), call)
    ours = run_patched(pair, loaded(weights, folder), features, negative, call)
    return relative(ours - theirs, theirs - plain), relative(theirs - plain, plain)


@pytest.fixture
def with_text_projection():
    """Kolors' UNet carries one."""
    unet = twins("SDXL", torch.float32).ours.model.diffusion_model
    other = twins("SDXL", torch.float64).ours.model.diffusion_model
    generator = torch.Generator().manual_seed(4)
    for network in (unet, other):
        network.encoder_hid_proj = torch.nn.Linear(192, 96).requires_grad_(False)
        network.encoder_hid_proj.weight.normal_(generator=generator).mul_(192**-0.5)
    yield
    for network in (unet, other):
        del network.encoder_hid_proj


@pytest.mark.parametrize("kind", TOKENS)
def test_each_format_equals_the_equations(kind, tmp_path, monkeypatch, with_text_projection, capsys):
    """At most 5e-6 of the effect in float32, 1e-9 in float64, in a whole UNet of diffusers'."""
    shrink(monkeypatch, kind)
    base = "SDXL" if kind in SDXL_ONLY else "SD1.5"
    single, effect = compare(base, kind, torch.float32, tmp_path)
    double, _ = compare(base, kind, torch.float64, tmp_path)
    with capsys.disabled():
        print(f"\n  {base:5} {kind:18} effect {effect:.2f}  float32 {single:.1e}  float64 {double:.1e}")
    assert effect > 0.05
    assert single <= 5e-6
    assert double <= 1e-9


def test_csgo_reads_content_below_and_style_above(tmp_path, capsys):
    """Two adapters of diffusers', one silent outside the down blocks and one outside the up blocks, give CSGO's result."""
    for dtype, limit in ((torch.float32, 5e-6), (torch.float64, 1e-9)):
        pair = twins("SDXL", dtype)
        fresh(pair)
        call = some_call("SDXL", 2, dtype)
        widths = widths_of(pair.ours)[: DOWN + UP]
        weights = {key: tensor.to(dtype) for key, tensor in weights_of("CSGO", widths, 96).items()}
        features, negative = (features_of("CSGO", torch.Generator().manual_seed(n), dtype) for n in (1, 2))
        plain = run_theirs(pair, call)
        both = each(lambda one, other: torch.cat((one, other)), negative, features)
        parts = {}
        for name, x in zip(("content", "style"), both, strict=True):
            own = {key: tensor.double() for key, tensor in equations.below(projector(weights), f"{name}.").items()}
            parts[name] = equations.resampler(own, x.double(), 2, 4).to(dtype)
        theirs = run_two(pair, weights, parts, call)
        renamed = {
            key.replace("image_proj.content", "content_image_proj").replace(
                "image_proj.style", "style_image_proj"
            ): tensor
            for key, tensor in weights.items()
        }
        adapter = loaded(renamed | {"controlnet_adapter_modules.x": torch.zeros(1)}, tmp_path)
        error = relative(run_patched(pair, adapter, features, negative, call) - theirs, theirs - plain)
        with capsys.disabled():
            print(f"\n  SDXL  CSGO {str(dtype):14} effect {relative(theirs - plain, plain):.2f}  error {error:.1e}")
        assert adapter.spec.format == "CSGO"
        assert error <= limit


def run_two(pair, weights, parts, call):
    """diffusers with content and style as two adapters on the same keys and values; SDXL's down blocks end at layer 24."""
    attention = equations.below(weights, "ip_adapter.")
    sizes = widths_of(pair.ours)
    layers = {f"{2 * n + 1}.to_{part}_ip.weight": attention.get(f"{2 * n + 1}.to_{part}_ip.weight", torch.zeros(size, 96))
              for n, size in enumerate(sizes) for part in "kv"}  # fmt: skip
    file = {"image_proj": projector(adapter_weights("base", [], 96)), "ip_adapter": layers}
    pair.theirs._load_ip_adapter_weights([file, file], low_cpu_mem_usage=False)
    pair.theirs.to(parts["content"].dtype)
    for slot, name in enumerate(("content", "style")):
        pair.theirs.encoder_hid_proj.image_projection_layers[slot] = Given(parts[name])
    for name, processor in pair.theirs.attn_processors.items():
        if hasattr(processor, "scale"):
            processor.scale = [WEIGHT * name.startswith("down"), WEIGHT * name.startswith("up")]
    nothing = torch.zeros(2, 1, 64, dtype=parts["content"].dtype)
    return run_theirs(pair, call, [nothing, nothing])


@pytest.mark.parametrize("kind", ["FaceID", "FaceID Plus", "FaceID Plus V2", "Portrait", "Portrait unnorm"])
def test_equals_diffusers_own_projectors(kind, tmp_path, capsys):
    """The same file through diffusers' own loader, which knows these five."""
    pair = twins("SD1.5")
    fresh(pair)
    call = some_call("SD1.5", 2)
    weights = weights_of(file_kind(kind), widths_of(pair.ours), 96)
    features, negative = (features_of(kind, torch.Generator().manual_seed(n), torch.float32) for n in (1, 2))
    plain = run_theirs(pair, call)
    file = {"image_proj": projector(weights), "ip_adapter": equations.below(weights, "ip_adapter.")}
    pair.theirs._load_ip_adapter_weights([file], low_cpu_mem_usage=False)
    for processor in pair.theirs.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [WEIGHT]
    both = each(lambda one, other: torch.stack((one, other)), negative, features)
    if kind in BLENDS:
        layer = pair.theirs.encoder_hid_proj.image_projection_layers[0]
        layer.clip_embeds, layer.shortcut, layer.shortcut_scale = both[1], kind.endswith("V2"), STRUCTURE
        both = both[0]
    both = both.unsqueeze(1) if kind == "Portrait unnorm" else both
    theirs = run_theirs(pair, call, [both])
    error = relative(run_patched(pair, loaded(weights, tmp_path), features, negative, call) - theirs, theirs - plain)
    with capsys.disabled():
        print(f"\n  diffusers' own {kind:16} error {error:.1e}")
    assert error <= 5e-6


def test_a_kolors_adapter_on_plain_sdxl_is_refused(tmp_path, monkeypatch):
    """Layers and text are of one size in both; the conditions beside the time embedding tell them apart, or the projection."""
    shrink(monkeypatch, "Kolors plus")
    model = tiny_model("SDXL")
    adapter = loaded(weights_of("Kolors plus", widths_of(model), 96), tmp_path, "kolors.safetensors")
    features = torch.zeros(1, 17, PICTURE)
    prompt = ImagePrompt((Reference(EncodedImage(features, features)),), adapter.spec.projector.feature, "a test")
    with pytest.raises(ModelMismatchError, match="kolors.safetensors is for Kolors, but the model is SDXL"):
        apply_image_prompt(model, adapter, prompt, Strength())
    kolors = tiny_model("SDXL", adm_in_channels=5632)
    assert applications_of(apply_image_prompt(kolors, adapter, prompt, Strength()).model_options["transformer_options"])
    model.model.diffusion_model.encoder_hid_proj = torch.nn.Linear(192, 96)
    assert applications_of(apply_image_prompt(model, adapter, prompt, Strength()).model_options["transformer_options"])
