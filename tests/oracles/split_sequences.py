"""An engine that gives each of several GPUs a part of the sequence, with threads for GPUs.

Each rank has a model of its own and runs the whole of it; its blocks see a part of the tokens, and keys and values of all
ranks. What a block's hooks are told is what the engines tell them: FLUX' double blocks hand on queries that are turned
already and `pe=None`, single ones a part of text and image together, and Anima's a part of the grid's rows.
"""

import inspect
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

import comfy.ldm.flux.layers
from comfy.ldm.flux.layers import timestep_embedding
from comfy.ldm.flux.math import apply_rope, apply_rope1, attention

XFUSER = "xfuser.core.distributed"


class Ranks:
    """Threads that share sequences: who each is, and how all hand one another what they have."""

    def __init__(self, world: int):
        self.world, self.barrier = world, threading.Barrier(world, timeout=600)
        self.own, self.slots = threading.local(), [None] * world

    @property
    def rank(self) -> int:
        """The rank of the thread that asks."""
        return self.own.rank

    def module(self) -> types.ModuleType:
        """What an engine's processes have loaded."""
        module = types.ModuleType(XFUSER)
        module.get_sequence_parallel_world_size = lambda: self.world
        module.get_sequence_parallel_rank = lambda: self.rank
        return module

    def run(self, work: Callable[[int], Tensor]) -> list[Tensor]:
        """What `work` returns for each rank, all at the same time; the first error of any."""

        def one(rank):
            self.own.rank = rank
            try:
                return work(rank)
            except BaseException:
                self.barrier.abort()  # nobody waits for this rank any more
                raise

        with ThreadPoolExecutor(self.world) as pool:
            futures = [pool.submit(one, rank) for rank in range(self.world)]
        errors = [future.exception() for future in futures]
        for error in errors:
            if error is not None and not isinstance(error, threading.BrokenBarrierError):
                raise error
        return [future.result() for future in futures]

    def part(self, whole: Tensor, dim: int) -> Tensor:
        """This rank's part; the last ones are filled up with zeros."""
        each = -(-whole.shape[dim] // self.world)
        padding = [0, 0] * (whole.ndim - dim - 1) + [0, each * self.world - whole.shape[dim]]
        return nn.functional.pad(whole, padding).narrow(dim, self.rank * each, each)

    def gathered(self, part: Tensor, dim: int, length: int) -> Tensor:
        """The whole, without what it was filled up with."""
        self.slots[self.rank] = part
        self.barrier.wait()
        whole = torch.cat(list(self.slots), dim=dim).narrow(dim, 0, length)
        self.barrier.wait()
        return whole


class Turning:
    """In place of a block's norm of queries and keys: the norm, and their rotation right behind it."""

    def __init__(self, norm: Callable):
        self.norm, self.rotation = norm, None

    def __call__(self, query, key, value):
        query, key = self.norm(query, key, value)
        return apply_rope1(query, self.rotation), apply_rope1(key, self.rotation)


def flux_attention(ranks: Ranks):
    """In place of FLUX' own: a rank's queries meet the keys of all. The length of text and image are in the options."""

    def split(q, k, v, pe, mask=None, transformer_options=None):
        parts = transformer_options["test_parts"]  # of each segment: its length here, and its whole length
        if pe is not None:
            q, k = apply_rope(q, k, pe)
        whole = []
        for tensor in (k, v):
            pieces, start = [], 0
            for here, length in parts:
                pieces.append(ranks.gathered(tensor[:, :, start : start + here].contiguous(), 2, length))
                start += here
            whole.append(torch.cat(pieces, dim=2))
        return attention(q, *whole, None, mask, transformer_options)

    return split


def split_flux(network: nn.Module, ranks: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a FLUX or Chroma share its sequences with the other ranks."""
    for block in network.double_blocks:
        monkeypatch.setattr(block.img_attn.norm, "forward", Turning(block.img_attn.norm.forward))
    signature = inspect.signature(network.forward_orig)
    modulations_of = _chroma if hasattr(network, "distilled_guidance_layer") else _flux

    def forward(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        options, ids = dict(given["transformer_options"]), (given["img_ids"], given["txt_ids"])
        img, txt = network.img_in(given["img"]), network.txt_in(given["txt"])
        modulations = modulations_of(network, img, given)
        out = _blocks(network, ranks, (img, txt), ids, modulations, options)
        return network.final_layer(out, vec=modulations("final", 0))

    monkeypatch.setattr(network, "forward_orig", forward)


def _flux(network, img, given):
    timesteps, guidance = (timestep_embedding(given[one], 256).to(img.dtype) for one in ("timesteps", "guidance"))
    vec = network.time_in(timesteps) + network.guidance_in(guidance)
    vec = vec + network.vector_in(given["y"][:, : network.params.vec_in_dim])
    return lambda kind, number: vec


def _chroma(network, img, given):
    count = 344  # modulations of Chroma, whatever its depth
    both = [timestep_embedding(given[one], 16).to(img.dtype) for one in ("timesteps", "guidance")]
    both = torch.cat(both, dim=1)
    index = timestep_embedding(torch.arange(count), 32).to(img.dtype)[None].repeat(len(img), 1, 1)
    vectors = network.distilled_guidance_layer(torch.cat((both[:, None].repeat(1, count, 1), index), dim=-1))

    def modulation(kind, number):
        if kind != "double":
            return network.get_modulations(vectors, kind, idx=number)
        return tuple(network.get_modulations(vectors, f"double_{side}", idx=number) for side in ("img", "txt"))

    return modulation


def _blocks(network, ranks, tokens, ids, modulations, options):
    (img, txt), (img_ids, txt_ids) = tokens, ids
    images, texts = img.shape[1], txt.shape[1]
    rotation = ranks.part(network.pe_embedder(img_ids), 2)
    img, txt = ranks.part(img, 1).clone(), ranks.part(txt, 1).clone()
    parts = [(txt.shape[1], texts), (img.shape[1], images)]
    options |= {"block_type": "double", "test_parts": parts}
    for number, block in enumerate(network.double_blocks):
        block.img_attn.norm.forward.rotation = rotation
        given = {"img": img, "txt": txt, "vec": modulations("double", number), "pe": rotation}
        out = _block(block, given, ("double_block", number), options | {"block_index": number})
        img, txt = out["img"], out["txt"]
    img, txt = ranks.gathered(img.contiguous(), 1, images), ranks.gathered(txt.contiguous(), 1, texts)
    rotation = ranks.part(network.pe_embedder(torch.cat((txt_ids, img_ids), dim=1)), 2)
    img = ranks.part(torch.cat((txt, img), dim=1), 1).clone()
    options |= {"block_type": "single", "test_parts": [(img.shape[1], texts + images)]}
    options |= {"img_slice": [texts, img.shape[1]]}
    for number, block in enumerate(network.single_blocks):
        given = {"img": img, "vec": modulations("single", number), "pe": rotation}
        img = _block(block, given, ("single_block", number), options | {"block_index": number})["img"]
    return ranks.gathered(img.contiguous(), 1, texts + images)[:, texts:]


def _block(block, given, name, options):
    """One block, with whoever stands around it."""

    def original(args):
        told = {"vec": args["vec"], "transformer_options": args["transformer_options"]}
        if name[0] == "single_block":
            return {"img": block(args["img"], pe=args["pe"], **told)}
        return dict(zip(("img", "txt"), block(img=args["img"], txt=args["txt"], pe=None, **told), strict=True))

    around = options.get("patches_replace", {}).get("dit", {}).get(name)
    given = given | {"transformer_options": options}
    return original(given) if around is None else around(given, {"original_block": original})


def split_anima(
    network: nn.Module, ranks: Ranks, grid: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> list[RemovableHandle]:
    """Makes an Anima share the rows of its grid with the other ranks; its cross-attention is left alone."""
    rows, columns = grid
    own = network.blocks[0].self_attn.attn_op

    def before(first):
        def split(_, args, kwargs):
            rope = torch.unflatten(kwargs["rope_emb_L_1_1_D"], 1, (rows, columns))
            tokens = ranks.part(args[0], 2).clone() if first else args[0]
            return (tokens, *args[1:]), kwargs | {"rope_emb_L_1_1_D": ranks.part(rope, 1).flatten(1, 2)}

        return split

    def attend(query, key, value, **kwargs):
        whole = (ranks.gathered(one.contiguous(), 1, rows * columns) for one in (key, value))
        return own(query, *whole, **kwargs)

    def gather(_, args):
        return ranks.gathered(args[0].contiguous(), 2, rows), *args[1:]

    hooks = [network.final_layer.register_forward_pre_hook(gather)]
    for number, block in enumerate(network.blocks):
        hooks.append(block.register_forward_pre_hook(before(number == 0), with_kwargs=True))
        monkeypatch.setattr(block.self_attn, "attn_op", attend)
    return hooks


@contextmanager
def split(name: str, networks: Sequence[nn.Module], ranks: Ranks, grid: tuple[int, int]) -> Iterator[None]:
    """Meanwhile these networks, one for each rank, share their sequences."""
    hooks = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(comfy.ldm.flux.layers, "attention", flux_attention(ranks))
        for network in networks:
            if name == "Anima":
                hooks += split_anima(network, ranks, grid, monkeypatch)
            else:
                split_flux(network, ranks, monkeypatch)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
