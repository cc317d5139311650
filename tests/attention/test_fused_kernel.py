"""The fused kernel is the equation, run by Triton's interpreter on a CPU; and it is taken only where it may be."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.engine

pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]

CASES = {  # (batch, latent tokens, text tokens, heads, head width), then (chunks, image tokens, shape of the multiplier)
    "text alone": ((2, 33, 7, 2, 16), ()),
    "one bank": ((2, 64, 77, 2, 64), ((2, 16, None),)),
    "SD1.5's odd heads": ((2, 70, 77, 2, 40), ((2, 4, None),)),
    "a mask": ((2, 70, 20, 2, 64), ((2, 4, (1, 70, 1)),)),
    "a mask for each image": ((4, 33, 20, 1, 32), ((2, 37, (4, 33, 1)),)),
    "a weight": ((2, 40, 20, 2, 32), ((2, 16, (1, 1, 1)),)),
    "weights of frames, keys for each": ((4, 40, 20, 2, 16), ((4, 5, (4, 1, 1)),)),
    "one pass": ((3, 40, 20, 2, 16), ((1, 5, None),)),
    "four banks": ((2, 40, 77, 2, 32), ((2, 4, None), (1, 257, (1, 40, 1)), (2, 128, (2, 1, 1)), (2, 16, None))),
    "head of 160": ((1, 20, 9, 1, 160), ((1, 4, None),)),
}

BOUNDS = {"float32": 5e-7, "float16": 1e-3}  # of the norm; the interpreter multiplies bfloat16's bits as whole numbers


def errors() -> dict[str, dict[str, float]]:
    """The error of the kernel against the equation in float64, by case and dtype; for a process with the interpreter on."""
    import torch
    from pack.ipadapter_core.attention.fused_kernel import fused_attention
    from pack.ipadapter_core.attention.image_attention import LayerKeyValue

    torch.manual_seed(0)

    def attend(query, key, value, heads):
        key, value = (part.repeat_interleave(query.shape[0] // part.shape[0], 0) for part in (key, value))
        query, key, value = (part.double().unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
        scores = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
        return (scores @ value).transpose(1, 2).flatten(2)

    def error(dtype, sizes, banks):
        batch, length, text, heads, width = sizes
        query, key, value = (torch.randn(batch, n, heads * width).to(dtype) for n in (length, text, text))
        made = [
            LayerKeyValue(
                *(torch.randn(chunks, n, heads * width).to(dtype) for _ in "kv"), shape and torch.rand(shape).to(dtype)
            )
            for chunks, n, shape in banks
        ]
        wanted = attend(query, key, value, heads)
        for bank in made:
            weight = 1.0 if bank.multiplier is None else bank.multiplier.double()
            wanted = wanted + weight * attend(query, bank.key, bank.value, heads)
        got = fused_attention(query, key, value, made, heads)
        assert got.dtype == dtype and got.shape == query.shape
        return float((got.double() - wanted).norm() / wanted.norm())

    return {name: {dtype: error(getattr(torch, dtype), *case) for dtype in BOUNDS} for name, case in CASES.items()}


@pytest.fixture(scope="module")
def found():
    """From a process of its own: Triton decides at its import whether it interprets."""
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); from loading import load_pack; load_pack(); "
    program += "import json, pack.tests.attention.test_fused_kernel as cases; print(json.dumps(cases.errors()))"
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("case", CASES)
def test_the_kernel_is_the_equation(case, dtype, found, capsys):
    """Text and banks of every size, masks, weights, odd heads."""
    with capsys.disabled():
        print(f"\n  fused, {case:32} {dtype:8} error {found[case][dtype]:.1e}", end="")
    assert found[case][dtype] < BOUNDS[dtype]


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
@pytest.mark.parametrize("width", [40, 64])
def test_the_kernel_compiles_for_a_gpu(width, dtype):
    """To machine code for compute capability 8.0, the text and a bank with a mask, without a GPU at hand."""
    import pack.ipadapter_core.attention.fused_kernel as fused
    import triton.language as tl
    from triton import compile as compiled
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    pointer, two, pair = f"*{dtype}", ("i32", "i32"), (("i32", "i32"), ("i32", "i32"))
    kinds = {"query": pointer, "output": pointer, "length": "i32", "heads": "i32", "scale": "fp32", "query_strides": two,
             "keys": (pointer, pointer), "values": (pointer, pointer), "counts": two, "shares": two, "strides": pair,
             "multipliers": ("constexpr", pointer), "steps": pair}  # fmt: skip
    given = {"BANKS": 2, "WIDTH": width, "ROUND": 64, "QUERIES": 64, "KEYS": fused.USUAL.keys,
             "INSIDE": tl.float16 if dtype == "fp16" else tl.bfloat16}  # fmt: skip
    names = fused._kernel.arg_names
    constants = {(names.index(name),): value for name, value in given.items()} | {(names.index("multipliers"), 0): None}
    kinds |= dict.fromkeys(given, "constexpr")
    source = ASTSource(fused._kernel, {name: kinds[name] for name in names}, constants)
    result = compiled(source, target=GPUTarget("cuda", 80, 32), options={"num_warps": 4, "num_stages": 3})
    assert result.asm["cubin"] and result.metadata.shared <= 48 * 1024


@pytest.fixture
def asked(monkeypatch):
    """A hook of a small model whose query says that it is on CUDA, and a stand-in for the kernel's choice."""
    import torch
    from pack.ipadapter_core.patchers.families import unet
    from pack.tools.bench.scenes import Scene
    from pack.tools.bench.sides import Case, Machine, Ours, given

    case, machine = Case(Scene("SD1.5", 64, 2), 4), Machine(torch.device("cpu"), torch.float32)

    class OnCuda(torch.Tensor):
        is_cuda = True

    calls = []

    def call(faster=True, **options):
        def stand_in(query, key, value, banks, heads):
            calls.append(len(banks))
            return query * 0 + 7 if faster else None

        monkeypatch.setattr(unet, "fused", stand_in)
        ours = Ours(case, machine)
        ours.options = ours.options | options
        one = given(case, case.scene.layers[0], machine)
        hook = ours.options["patches_replace"]["attn2"][one.layer.block]
        monkeypatch.setattr(unet, "base_attention", lambda *_: one.ready)
        with torch.no_grad():
            return hook(one.query.as_subclass(OnCuda), one.key, one.value, ours.layer_options(one.layer))

    return SimpleNamespace(call=call, calls=calls)


def test_the_kernel_is_asked_where_nobody_has_a_claim(asked):
    """It is taken when faster, and the plain way when not."""
    import torch

    assert torch.all(asked.call(faster=True) == 7) and asked.calls == [1]
    assert not torch.all(asked.call(faster=False) == 7) and asked.calls == [1, 1]


def test_the_kernel_is_not_asked_under_an_override(asked, monkeypatch):
    """Another pack's attention, by override or in ComfyUI's place, computes the base itself."""
    from pack.ipadapter_core.patchers.hooks.model_call import OVERRIDE

    import comfy.ldm.modules.attention

    asked.call(**{OVERRIDE: lambda function, *given, **more: function(*given, **more)})
    monkeypatch.setattr(comfy.ldm.modules.attention, "optimized_attention", lambda *given, **more: None)
    asked.call()
    assert asked.calls == []


@pytest.fixture
def chosen(monkeypatch):
    """The choice on a stand-in for a GPU of generation 9 whose table takes heads of 16; the kernel is to be put in."""
    import pack.ipadapter_core.attention.fused_kernel as kernel
    import torch
    from pack.ipadapter_core.attention import kernel_table
    from pack.ipadapter_core.attention.image_attention import LayerKeyValue
    from pack.ipadapter_core.patchers.hooks import kernel_choice as fusing

    row = kernel_table.KernelRow(9, 16, 8, 77, 16, 1, kernel_table.Tile(32, 32, 4, 2))
    monkeypatch.setattr(kernel_table, "rows", lambda: (row,))
    kernel_table.tile_for.cache_clear()
    monkeypatch.setattr(fusing, "available", lambda query: True)
    monkeypatch.setattr(fusing, "_generation", lambda device: 9)
    monkeypatch.setattr(fusing, "_refused", set())
    tiles = []

    def stand_in(work):
        def attention(query, key, value, banks, heads, tile):
            tiles.append(tile)
            return work(query)

        monkeypatch.setattr(kernel, "fused_attention", attention)

    def call(length=8, tokens=4, adapters=1):
        query, text, bank = torch.zeros(2, length, 32), torch.zeros(2, 7, 32), torch.zeros(2, tokens, 32)
        return fusing.fused(query, text, text, [LayerKeyValue(bank, bank, None)] * adapters, 2)

    yield SimpleNamespace(stand_in=stand_in, call=call, tiles=tiles, row=row, only=fusing.only)
    kernel_table.tile_for.cache_clear()


def test_a_kernel_that_fails_is_not_tried_again(chosen):
    """Whatever a compiler or an unknown GPU raises, the separate calls are taken."""

    def broken(query):
        raise RuntimeError("no such architecture")

    chosen.stand_in(broken)
    assert chosen.call() is None and chosen.call() is None and len(chosen.tiles) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, "out of memory"])
def test_what_is_not_the_kernels_fault_is_let_through(chosen, error):
    """A full GPU, a stopped run."""
    import torch

    kind = torch.OutOfMemoryError if error == "out of memory" else error

    def failing(query):
        raise kind

    chosen.stand_in(failing)
    with pytest.raises(kind):
        chosen.call()


def test_the_table_decides(chosen):
    """Nothing is timed: the measured row's tile where it covers a layer, separate calls where none does."""
    chosen.stand_in(lambda query: query + 1)
    assert chosen.call() is not None and chosen.call(length=30, tokens=16) is not None
    assert chosen.tiles == [chosen.row.tile] * 2
    assert chosen.call(length=7) is None and chosen.call(tokens=17) is None and chosen.call(adapters=2) is None
    with chosen.only(None):
        assert chosen.call() is None
    other = chosen.row.tile._replace(queries=128)
    with chosen.only(other):
        assert chosen.call(length=7) is not None and chosen.tiles[-1] == other
