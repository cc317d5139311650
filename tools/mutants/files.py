"""Mutations of how files are read: headers, pickles, formats, key names."""

from .mutation import Mutation

CHECKPOINT = "ipadapter_core/checkpoint/"
CORE = "ipadapter_core/"
FORMATS = "tests/checkpoint/test_face_formats.py::test_a_published_layout_is_told_by_its_shapes"
HOSTILE = "tests/trust/test_hostile_files.py::test_hostile_content"

FILE_MUTATIONS = (
    Mutation(
        "keys that nobody knows",
        "a file with keys of another network is taken for an adapter",
        CHECKPOINT + "detect.py",
        '    if unknown:\n        raise CheckpointError(f"{file}: unknown keys {_some([LAYERS',
        '    if False:\n        raise CheckpointError(f"{file}: unknown keys {_some([LAYERS',
        ("tests/checkpoint/test_face_formats.py::test_damage_is_said",),
    ),
    Mutation(
        "content above, style below",
        "CSGO's down blocks read the style and its up blocks the content",
        CHECKPOINT + "detect.py",
        "content if i < DOWN_LAYERS else style",
        "style if i < DOWN_LAYERS else content",
        ("tests/patchers/families/test_face_formats_in_unet.py::test_csgo_reads_content_below_and_style_above",),
    ),
    Mutation(
        "Portrait is FaceID",
        "a file of 16 face tokens is called FaceID",
        CHECKPOINT + "face_formats.py",
        "return _identity_alone(shapes) and _tokens(shapes) == PORTRAIT_TOKENS",
        "return _identity_alone(shapes) and _tokens(shapes) > PORTRAIT_TOKENS",
        (FORMATS,),
    ),
    Mutation(
        "instructions are images",
        "IP-Adapter-Instruct's resampler is taken for a plus adapter's",
        CHECKPOINT + "unet_formats.py",
        '!= IDENTITY_WIDTH and "proj_new_input.weight" not in shapes',
        "!= IDENTITY_WIDTH",
        (FORMATS,),
    ),
    Mutation(
        "layers by the alphabet",
        "a training checkpoint's up blocks are numbered before its down blocks",
        CHECKPOINT + "key_names.py",
        'ORDER = {"down_blocks": 0, "up_blocks": 1, "mid_block": 2}',
        'ORDER = {"down_blocks": 1, "up_blocks": 0, "mid_block": 2}',
        ("tests/checkpoint/test_key_names.py::test_a_training_checkpoint_is_the_adapter_in_it",),
    ),
    Mutation(
        "LoRA in the network",
        "the LoRA inside a FaceID file is taken for layers of the adapter",
        CHECKPOINT + "key_names.py",
        "return name.startswith(LORA) or FACE_LORA_KEY.fullmatch(name) is not None",
        "return name.startswith(LORA)",
        ("tests/checkpoint/test_key_names.py::test_a_face_adapter_keeps_its_lora",),
    ),
    Mutation(
        "overlapping tensors",
        "tensors of a safetensors file may lie over one another",
        CHECKPOINT + "headers.py",
        "if start < end_before or end > size:",
        "if end > size:",
        ("tests/checkpoint/test_headers.py::test_what_does_not_fit_is_named",),
    ),
    Mutation(
        "shape without its bytes",
        "a tensor's shape may promise more numbers than the file has",
        CHECKPOINT + "headers.py",
        "if bits is None or elements * bits != 8 * (end - start):",
        "if bits is None:",
        ("tests/checkpoint/test_headers.py::test_what_does_not_fit_is_named",),
    ),
    Mutation(
        "a header of any length",
        "a header is read however long it is",
        CHECKPOINT + "headers.py",
        "if length > HEADER_BYTES:",
        "if length < 0:",
        ("tests/trust/test_hostile_files.py::test_the_limit_of_a_header_is_where_it_is_said",),
    ),
    Mutation(
        "pickles by any name",
        "a PyTorch file may name what it likes",
        CHECKPOINT + "pickles.py",
        "unknown = sorted(name for name in names if not ALLOWED",
        "unknown = sorted(name for name in () if not ALLOWED",
        ("tests/checkpoint/test_pickles.py::test_names_are_refused_before_anything_is_read",),
    ),
    Mutation(
        "NaN in a file",
        "weights that are no numbers are loaded",
        CHECKPOINT + "tensors.py",
        "return all(-LARGEST <= end.item() <= LARGEST for end in wide.aminmax())",
        "return not any(abs(end.item()) > LARGEST for end in wide.aminmax())",
        (HOSTILE + "[NaN-safetensors]",),
    ),
    Mutation(
        "weights copied",
        "loading copies every weight instead of mapping the file",
        CORE + "adapter/load.py",
        "network.load_state_dict(own, assign=True)",
        "network.load_state_dict({name: one.clone() for name, one in own.items()}, assign=True)",
        ("tests/adapter/test_loading_cost.py::test_loading_copies_no_weight",),
    ),
)
