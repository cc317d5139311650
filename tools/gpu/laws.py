"""The laws, on a device: weight 0 to the bit, branches, repetition, masks that add up, CUDA graphs, float8."""

import torch

from ...ipadapter_core.sampling.strength import Strength
from .setup import Setup, relative
from .world import FAMILIES, World, same_weights, sample, world

STEPS = 2
ROUNDING = {torch.float16: 5e-3, torch.bfloat16: 4e-2}  # of the output, through a whole network
FLOAT8 = 0.5  # of the effect: float8 has three bits


def laws_hold(setup: Setup) -> None:
    """On SD1.5, the smallest model with every kind of hook."""
    given = world(FAMILIES[0], setup)
    _to_the_bit(given, setup)
    _masks(given, setup)
    _captured(given, setup)
    _float8(given, setup)


def _to_the_bit(given: World, setup: Setup) -> None:
    alone = sample(given, given.model, STEPS)
    again = sample(given, given.model, STEPS)
    same = bool(torch.equal(alone, again))
    setup.holds(
        "laws", "the model alone twice is the same bits", same, "" if same else "the GPU itself is not deterministic"
    )
    nothing = sample(given, given.applied(Strength(0.0)), STEPS)
    setup.holds("laws", "weight 0 equals no node to the bit", bool(torch.equal(alone, nothing)))
    branch = given.applied()
    first = sample(given, branch, STEPS)
    setup.holds("laws", "the adapter acts", not torch.equal(first, alone))
    setup.holds(
        "laws", "the same workflow twice is the same bits", bool(torch.equal(first, sample(given, branch, STEPS)))
    )
    setup.holds(
        "laws", "the trunk is unmoved by its branch", bool(torch.equal(alone, sample(given, given.model, STEPS)))
    )


def _masks(given: World, setup: Setup) -> None:
    """A prompt under a soft mask and under what that leaves is the prompt without a mask."""
    mask = torch.linspace(0, 1, given.latent[-1] * 8).expand(1, given.latent[-2] * 8, -1)
    one = given.applied(mask=mask)
    both = given._replace(model=one).applied(mask=1 - mask)
    whole = sample(given, given.applied())
    apart = relative(sample(given, both) - whole, whole)
    dtype = given.model.model.get_dtype()
    setup.at_most("laws", "two complementary masks add up", apart, ROUNDING[dtype], note=str(dtype))


def _captured(given: World, setup: Setup) -> None:
    """A model call inside a CUDA graph, replayed, is the call outside of it."""
    if not setup.on_gpu:
        return setup.not_here("laws", "a CUDA graph can be captured")
    ran: dict[str, torch.Tensor] = {}

    def around(run, arguments):
        latent, sigma, more = arguments["input"], arguments["timestep"], arguments["c"]
        expected = run(latent, sigma, **more)
        if "captured" not in ran:
            graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                run(latent, sigma, **more)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph):
                out = run(latent, sigma, **more)
            graph.replay()
            ran["captured"], ran["expected"] = out.clone(), expected.clone()
        return expected

    model = given.applied()
    model.set_model_unet_function_wrapper(around)
    sample(given, model)
    apart = relative(ran["captured"] - ran["expected"], ran["expected"])
    setup.at_most("laws", "a replayed CUDA graph is the call itself", apart, ROUNDING[given.model.model.get_dtype()])


def _float8(given: World, setup: Setup) -> None:
    """Weights in float8, cast at each use as ComfyUI does: the adapter acts as it does on the weights themselves."""
    dtype = given.model.model.get_dtype()
    small = same_weights(given, setup, torch.float8_e4m3fn, dtype)
    effect = sample(given, given.applied()) - sample(given, given.model)
    own = sample(small, small.applied()) - sample(small, small.model)
    setup.holds("laws", "float8 weights: the effect is finite", bool(torch.isfinite(own).all()))
    setup.at_most(
        "laws",
        "float8 weights: the effect beside that on the weights themselves",
        relative(own - effect, effect),
        FLOAT8,
    )
