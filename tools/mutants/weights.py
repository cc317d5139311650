"""Mutations of how strongly layers and frames act."""

from .mutation import Mutation

WEIGHTS = "ipadapter_core/weights/"

WEIGHT_MUTATIONS = (
    Mutation(
        "keys not scaled",
        "K+V and its penalties scale the value alone",
        WEIGHTS + "scaling.py",
        "return key * weight, scaled",
        "return key, scaled",
        ("tests/weights/test_layer_weights.py::test_engine_scaling_modes[one weight-K+mean(V) w/ C penalty]",),
    ),
    Mutation(
        "mean(V) at weight 0",
        "K+mean(V) leaves the value less its mean where the weight is 0",
        WEIGHTS + "scaling.py",
        "torch.where(weight == 0, 0, value - mean + mean * weight)",
        "value - mean + mean * weight",
        ("tests/weights/test_layer_weights.py::test_engine_weight_zero_is_exactly_no_adapter",),
    ),
    Mutation(
        "first word wins",
        "of two words about one block the first one holds",
        WEIGHTS + "layer_weights.py",
        "value = by_hand[-1]",
        "value = by_hand[0]",
        ("tests/weights/test_layer_weights.py::test_engine_text_sets_blocks_by_name",),
    ),
    Mutation(
        "middle block last",
        "layer weights count blocks as adapter files do, the middle block last",
        WEIGHTS + "layer_weights.py",
        'EXECUTION = ("input", "middle", "output",',
        'EXECUTION = ("input", "output", "middle",',
        ("tests/weights/test_layer_weights.py::test_engine_blocks_are_numbered_as_comfyui_runs_them",),
    ),
    Mutation(
        "odd turns keep w",
        "alternating, every second reference fades the wrong way",
        WEIGHTS + "frame_weights.py",
        "tuple(1 - weight if swap else weight for swap in swapped for weight in row)",
        "tuple(weight for swap in swapped for weight in row)",
        ("tests/weights/test_frame_weights.py::test_catalogue_methods_fade_from_each_reference_to_the_next",),
    ),
)
