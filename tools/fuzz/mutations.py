"""How whole things are broken: bytes of files, and tensors under names."""

import struct
from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

Weights = dict[str, Tensor]
NUMBERS = st.one_of(
    st.integers(-2, 40), st.sampled_from([2**31, 2**40, 2**63, 10**30, -(10**9)]), st.just(float("nan")), st.just("7"),
    st.none(), st.lists(st.integers(0, 9), max_size=3),
)  # fmt: skip
DTYPES = [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2, torch.int8, torch.int64,
          torch.complex64, torch.bool, torch.uint8]  # fmt: skip
VALUES = [float("nan"), float("inf"), -float("inf"), 1e38, 1e-40, 60_000.0, 0.0]
DIGITS = ["9" * 5, "9" * 30, "9" * 5_000, "٣", "-1", "1e3", "", "0x1", "1.1"]


@st.composite
def broken_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file cut short, with bits turned over, bytes written over, a length changed, or something put behind it."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(("cut", "flip", "write", "length", "append", "swap")))
        place = min(int(draw(st.floats(0, 1)) ** 3 * len(data)), max(len(data) - 1, 0))  # most of them near the header
        if kind == "cut":
            data = data[:place]
        elif kind == "append":
            data += draw(st.binary(max_size=40))
        elif kind == "length":
            data[:8] = struct.pack("<Q", draw(st.sampled_from((0, 1, 7, len(whole), 2**20, 2**40, 2**63))))
        elif data:
            data = _changed(data, kind, place, draw)
    return bytes(data)


def _changed(data: bytearray, kind: str, place: int, draw: st.DrawFn) -> bytearray:
    if kind == "flip":
        data[place] ^= 1 << draw(st.integers(0, 7))
    elif kind == "write":
        piece = draw(st.binary(min_size=1, max_size=12))
        data[place : place + len(piece)] = piece
    else:
        other = draw(st.integers(0, len(data) - 1))
        data[place], data[other] = data[other], data[place]
    return data


@st.composite
def broken_weights(draw: st.DrawFn, whole: Weights) -> Weights:
    """Weights with keys lost, renamed, numbered anew or added, and tensors of other shapes, dtypes and values."""
    weights = dict(whole)
    for _ in range(draw(st.integers(1, 3))):
        if not weights:
            break
        key = draw(st.sampled_from(sorted(weights)))
        change = draw(st.sampled_from(CHANGES))
        change(weights, key, draw)
    return weights


def _lose(weights: Weights, key: str, _: st.DrawFn) -> None:
    del weights[key]


def _rename(weights: Weights, key: str, draw: st.DrawFn) -> None:
    tensor = weights.pop(key)
    parts = key.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdecimal()]
    if numbers and draw(st.booleans()):
        parts[draw(st.sampled_from(numbers))] = draw(st.sampled_from(DIGITS))
        weights[".".join(parts)] = tensor
    else:
        weights[draw(st.text(max_size=12)).replace("\x00", "") + key] = tensor


def _add(weights: Weights, key: str, draw: st.DrawFn) -> None:
    weights[key + draw(st.sampled_from((".x", "x", "_lora.up.weight", "9", ".bias")))] = weights[key].clone()


def _reshape(weights: Weights, key: str, draw: st.DrawFn) -> None:
    weights[key] = torch.zeros(draw(st.lists(st.integers(0, 9), max_size=5)))


def _convert(weights: Weights, key: str, draw: st.DrawFn) -> None:
    dtype = draw(st.sampled_from(DTYPES))
    every = draw(st.booleans())
    for name in list(weights) if every else [key]:
        weights[name] = weights[name].to(dtype)


def _spoil(weights: Weights, key: str, draw: st.DrawFn) -> None:
    tensor = weights[key]
    if tensor.is_floating_point() and tensor.numel() and tensor.element_size() > 1:
        spoilt = tensor.double().flatten()
        spoilt[draw(st.integers(0, tensor.numel() - 1))] = draw(st.sampled_from(VALUES))
        weights[key] = spoilt.view(tensor.shape).to(tensor.dtype)


def _wrap(weights: Weights, _: str, draw: st.DrawFn) -> None:
    prefix = draw(
        st.sampled_from(("module.", "state_dict.", "model.", "unet.", "optimizer.", "a.b.c.d.", "image_proj."))
    )
    renamed = {prefix + key: tensor for key, tensor in weights.items()}
    weights.clear()
    weights.update(renamed)


Change = Callable[[Weights, str, st.DrawFn], None]
CHANGES: tuple[Change, ...] = (_lose, _rename, _add, _reshape, _convert, _spoil, _wrap)
