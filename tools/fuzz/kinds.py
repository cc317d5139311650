"""What is tried: a row for each kind of input, with how it is made and what is done with it."""

import base64
import json
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.checkpoint.detect import detect
from pack.ipadapter_core.checkpoint.key_names import canonical_names
from pack.ipadapter_core.encoders.load import load_image_encoder
from pack.ipadapter_core.inputs.masks import read_masks
from pack.ipadapter_core.masks.canvas_mask import canvas_mask
from pack.ipadapter_core.presets.identify import identify
from pack.ipadapter_core.prompt.files import load_prompt, packed, prompt_of_embeds, read_embeds
from pack.ipadapter_core.prompt.png_text import KEYWORD, SIGNATURE
from pack.ipadapter_core.weights.frame_weights import FrameMethod, Ramp, Timing, frame_plan, ramp_weights
from pack.ipadapter_core.weights.layer_presets import LayerPreset
from pack.ipadapter_core.weights.layer_weights import LayerWeights
from pack.ipadapter_core.weights.parsing import read_numbers, read_overrides, read_schedule
from pack.tools.fuzz.examples import ADAPTERS, BLOCKS, ENCODERS, NESTED, PROMPTS, ordered, saved
from pack.tools.fuzz.mutations import DIGITS, NUMBERS, broken_bytes, broken_weights
from pack.tools.fuzz.projecting import check_adapter, check_finite
from safetensors.torch import save

MASK_DTYPES = (torch.float32, torch.float16, torch.float64, torch.uint8, torch.bool, torch.complex64)
WORDS = ["0: 1", "0.5: 0.25, ", "input 4: 0.5", "input", "middle", "output", "4", "0.5", "1e308", "nan", "-inf", ":", ",", ";",
         "\n", "٣", " ", "-", "3-8", "\x00", "𝟝", "0" * 300, "9" * 5000]  # fmt: skip
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=20).map("".join),
                  st.sampled_from(WORDS).map(lambda word: word * 3000))  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of input: `share` of all inputs are of it; `try_out` takes an input and a folder to write files in."""

    name: str
    share: float
    inputs: st.SearchStrategy[Any]
    try_out: Callable[[Any, Path], None]


def _file(ending: str, use: Callable[[Path], None]) -> Callable[[bytes, Path], None]:
    """Writes bytes to a file and uses it."""

    def try_out(content: bytes, folder: Path) -> None:
        path = folder / f"input{ending}"
        path.write_bytes(content)
        use(path)

    return try_out


def _load(path: Path) -> None:
    """The list of files must stay quiet; the loader gives an adapter that projects finite numbers, or says what is wrong."""
    identify(path)
    check_adapter(load_adapter(str(path)))


def _weights(case: tuple[bool, dict[str, torch.Tensor]], folder: Path) -> None:
    """The same of tensors, in either container."""
    pickled, weights = case
    path = folder / ("input.bin" if pickled else "input.safetensors")
    path.write_bytes(saved(weights) if pickled else save({key: one.contiguous() for key, one in weights.items()}))
    _load(path)


def _detect(shapes: dict[str, tuple[int, ...]], _: Path) -> None:
    names = canonical_names(shapes)
    detect({name: shapes[key] for key, name in names.items()}, "input", {"ip_norm_keys": "false"})


def _prompt(path: Path) -> None:
    for reference in load_prompt(path).references:
        check_finite(reference.image.features, reference.image.negative, reference.weight)


def _embeds(path: Path) -> None:
    check_finite(prompt_of_embeds(read_embeds(path)).references[0].image.features)


def _layer_weights(case: tuple[LayerPreset, str], _: Path) -> None:
    weights = LayerWeights(case[0], 1.0, 0.5, read_overrides(case[1]))
    check_finite(*(one.positive for one in weights.resolve(BLOCKS)))


def _schedule(text: str, _: Path) -> None:
    curve = read_schedule(text)
    check_finite(*(curve.at(place / 7) for place in range(8)))


def _frames(case: tuple[str, Timing, int, int, int, FrameMethod], _: Path) -> None:
    text, timing, frames, start, end, method = case
    row = ramp_weights(read_numbers(text, "weights of Frame Weights"), Ramp(timing, frames, start, end))
    check_finite(*frame_plan(row, 3, method).weights)


def _mask(mask: torch.Tensor, _: Path) -> None:
    weights = canvas_mask(read_masks(mask, "mask of Apply IP-Adapter")).token_weights((3, 5), (6, 10))
    check_finite(weights)
    if not -1e-6 <= weights.min() <= weights.max() <= 1 + 1e-6:
        raise AssertionError(f"a mask's weights from {weights.min()} to {weights.max()}")


@st.composite
def _shapes(draw: st.DrawFn) -> dict[str, tuple[int, ...]]:
    """Key names and shapes, mostly of an adapter, some of them others."""
    known = draw(st.sampled_from(ADAPTERS))
    shapes = {key: tuple(one.shape) for key, one in known.items()}
    for _ in range(draw(st.integers(0, 3))):
        strange = st.one_of(st.text(max_size=20), st.sampled_from(DIGITS).map("ip_adapter.{}.to_k_ip.weight".format))
        key = draw(st.one_of(st.sampled_from(sorted(shapes)), strange))
        shapes[key] = tuple(draw(st.lists(st.integers(0, 2**33), max_size=4)))
    return shapes


@st.composite
def _masks(draw: st.DrawFn) -> torch.Tensor:
    shape = draw(st.lists(st.integers(0, 5), max_size=5))
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    mask = mask * draw(st.sampled_from((1.0, 255.0, -1.0, math.nan, math.inf, 1e38)))
    return mask.to(draw(st.sampled_from(MASK_DTYPES)))


@st.composite
def _headers(draw: st.DrawFn) -> bytes:
    """A safetensors file whose header says something else than its tensors."""
    whole = save(draw(st.sampled_from(ADAPTERS)))
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(sorted(header)))
        part = draw(st.sampled_from(("dtype", "shape", "data_offsets", "entry", "metadata")))
        if part == "entry":
            header[key] = draw(NUMBERS)
        elif part == "metadata":
            header["__metadata__"] = draw(st.one_of(NUMBERS, st.dictionaries(st.text(max_size=5), NUMBERS, max_size=2)))
        elif isinstance(header[key], dict):
            header[key][part] = draw(st.one_of(NUMBERS, st.lists(NUMBERS, max_size=4)))
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + whole[8 + length :]


@st.composite
def _prompts(draw: st.DrawFn) -> bytes:
    """A saved prompt with other words, or other tensors."""
    tensors, words = packed(draw(st.sampled_from(PROMPTS)))
    for _ in range(draw(st.integers(0, 2))):
        reference = st.fixed_dictionaries({"image": NUMBERS, "weight": NUMBERS, "mask": NUMBERS})
        entries = st.lists(st.one_of(NUMBERS, reference), max_size=4)
        words[draw(st.sampled_from(sorted(words)))] = draw(st.one_of(st.text(max_size=20), entries.map(json.dumps)))
    tensors = draw(st.one_of(st.just(tensors), broken_weights(tensors)))
    return save({key: one.contiguous() for key, one in tensors.items()}, words)


@st.composite
def _images(draw: st.DrawFn) -> bytes:
    """A PNG with a saved prompt as a text of any kind, whose chunk or file is broken."""
    text = base64.b64encode(ordered(draw(_prompts())))
    kind = draw(st.sampled_from((b"tEXt", b"zTXt", b"iTXt")))
    start = {b"tEXt": b"", b"zTXt": b"\0", b"iTXt": b"\1\0\0\0"}[kind]
    body = start + (text if kind == b"tEXt" else zlib.compress(text))
    body = draw(st.one_of(st.just(body), st.binary(max_size=40), broken_bytes(body)))
    data = KEYWORD.encode() + b"\0" + body
    length = draw(st.one_of(st.just(len(data)), st.sampled_from((0, 1, 2**31 - 1, 2**32 - 1))))
    chunk = struct.pack(">I", length) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    whole = SIGNATURE + chunk + bytes(4) + b"IDAT"
    return draw(st.one_of(st.just(whole), broken_bytes(whole)))


@st.composite
def _weights_of(draw: st.DrawFn) -> tuple[bool, dict[str, torch.Tensor]]:
    return draw(st.booleans()), draw(broken_weights(draw(st.sampled_from(ADAPTERS))))


def _encoder(content: bytes, folder: Path) -> None:
    path = folder / "encoder.safetensors"
    path.write_bytes(content)
    made = load_image_encoder(path).encode_image(torch.full((1, 28, 28, 3), 0.5), crop=False)
    check_finite(made["last_hidden_state"])


def _bytes_of(examples: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.sampled_from(examples).flatmap(broken_bytes)


FRAMES = st.tuples(
    TEXTS, st.sampled_from(Timing), st.integers(-5, 500), st.integers(-5, 500), st.integers(-5, 9999),
    st.sampled_from(FrameMethod),
)  # fmt: skip
KINDS = (
    Kind("detection", 0.22, _shapes(), _detect),
    Kind("adapter tensors", 0.2, _weights_of(), _weights),
    Kind("adapter headers", 0.12, _headers(), _file(".safetensors", _load)),
    Kind("adapter bytes", 0.1, _bytes_of([save(one) for one in ADAPTERS]), _file(".safetensors", _load)),
    Kind("pickle bytes", 0.1, _bytes_of(NESTED), _file(".bin", _load)),
    Kind("saved prompts", 0.05, _prompts(), _file(".safetensors", _prompt)),
    Kind("prompts in images", 0.03, _images(), _file(".png", _prompt)),
    Kind("embeds", 0.03, _bytes_of([saved(torch.zeros(2, 8))]), _file(".ipadpt", _embeds)),
    Kind("image encoders", 0.02, st.sampled_from(ENCODERS).flatmap(broken_weights).map(save), _encoder),
    Kind("layer weights", 0.04, st.tuples(st.sampled_from(LayerPreset), TEXTS), _layer_weights),
    Kind("schedules", 0.03, TEXTS, _schedule),
    Kind("frame weights", 0.03, FRAMES, _frames),
    Kind("masks", 0.03, _masks(), _mask),
)  # fmt: skip
