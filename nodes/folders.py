"""The `ipadapter` model folder, shared with whatever other pack knows it, and where image prompts are kept."""

import os
from pathlib import Path

import folder_paths

from ..ipadapter_core.checkpoint.second_file import is_half, nearest_resampler
from ..ipadapter_core.presets.identify import identify
from ..ipadapter_core.presets.load import ModelFolders
from ..ipadapter_core.prompt.files import EMBEDS, PromptForm
from ..ipadapter_core.prompt.png_prompts import holds_prompt
from ..ipadapter_core.quoting import quoted
from .file_names import known_name

FOLDER, AUTO = "ipadapter", "auto"
PROMPTS = "image_prompts"
PROMPT_IMAGES = "image_prompt_images"  # PNGs of the input folder, where Load Image finds its own
TRAININGS = "ipadapter_training"
PNG = PromptForm.PNG.ending
PROMPT_ENDINGS = {EMBEDS, *(form.ending for form in PromptForm)}


def register_folders() -> None:
    """Adds models/ipadapter; keeps folders that extra_model_paths.yaml or another pack named, and gives them a filter.

    What Save IP-Adapter writes lies in output/ipadapter, and is listed as well.
    Image prompts are kept in output/image_prompts, and read from there and from the input folder.
    """
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
    paths, extensions = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, extensions or folder_paths.supported_pt_extensions)
    folder_paths.add_model_folder_path(FOLDER, _saved_adapters())
    kept = [_kept_prompts(), folder_paths.get_input_directory()]
    folder_paths.folder_names_and_paths[PROMPTS] = (kept, PROMPT_ENDINGS)
    images = ([folder_paths.get_input_directory()], {PNG})
    folder_paths.folder_names_and_paths[PROMPT_IMAGES] = images


def adapter_files() -> list[str]:
    """The names to choose from: those of files that are adapters. Each file's header is read once."""
    return [name for name, path in adapters_by_name().items() if identify(path).spec]


def adapter_problem(name: object) -> str:
    """Why a name cannot be loaded, in one sentence; nothing where it can, or where another node gives it."""
    if name is None:
        return ""
    known = known_name(name, folder_paths.get_filename_list(FOLDER)) if isinstance(name, str) else ""
    path = folder_paths.get_full_path(FOLDER, known)
    if path is None:
        return f"found '{quoted(name)}', which is not in models/ipadapter: choose another file in Load IP-Adapter"
    found = identify(Path(path))
    return "" if found.spec else found.said


def adapter_path(name: str) -> Path:
    """The full path of a chosen name; ComfyUI checks that it lies inside the folder."""
    return Path(folder_paths.get_full_path_or_raise(FOLDER, known_name(name, adapter_files())))


def resampler_files() -> list[str]:
    """The names of files that are half of an adapter, a resampler alone."""
    return [name for name, path in _listed(FOLDER).items() if identify(path).resampler]


def resampler_path(adapter: str, name: str) -> str | None:
    """The full path of a chosen second file; with AUTO the one that fits the adapter's, None where that needs none."""
    if name != AUTO:
        return folder_paths.get_full_path_or_raise(FOLDER, known_name(name, resampler_files()))
    layers = adapter_path(adapter)
    spec = identify(layers).spec
    if spec is None or not is_half(spec):
        return None
    widths = {path: identify(path).resampler for path in _listed(FOLDER).values()}
    found = nearest_resampler(spec, layers, {path: width for path, width in widths.items() if width})
    return None if found is None else str(found)


PYTORCH = (".safetensors", ".pth", ".pt")
FACE_MODELS = ("buffalo_l", "antelopev2")  # the sets that published adapters were trained with


def face_model_folders() -> dict[str, Path]:
    """The sets of face models in models/insightface/models by name, published ones first, there or not."""
    root = Path(folder_paths.models_dir) / "insightface" / "models"
    there = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return {name: root / name for name in dict.fromkeys((*FACE_MODELS, *there))}


def face_parser_files(model_name: str) -> list[Path]:
    """Files among which a face parser or a second recogniser may be: those in models/facexlib, and PyTorch's beside a set of
    face models.
    """
    beside = [path for path in sorted(face_model_folders()[model_name].glob("*")) if path.suffix.lower() in PYTORCH]
    root = Path(folder_paths.models_dir) / "facexlib"
    there = sorted(root.rglob("*")) if root.is_dir() else []
    return beside + [path for path in there if path.suffix.lower() in (*PYTORCH, ".onnx")]


def encoder_files() -> list[str]:
    """The image encoders to choose from."""
    return folder_paths.get_filename_list("clip_vision")


def encoder_path(name: str) -> Path:
    """The full path of a chosen image encoder."""
    return Path(folder_paths.get_full_path_or_raise("clip_vision", known_name(name, encoder_files())))


def model_folders() -> ModelFolders:
    """Everything that the preset loader may choose from."""
    return ModelFolders(list(adapters_by_name().values()), list(encoders_by_name().values()), face_model_folders())


def adapters_by_name() -> dict[str, Path]:
    """Every file of models/ipadapter."""
    return _listed(FOLDER)


def encoders_by_name() -> dict[str, Path]:
    """Every file of models/clip_vision."""
    return _listed("clip_vision")


def _listed(folder: str) -> dict[str, Path]:
    """The listed names with their paths, also of links to nothing, which ComfyUI lists and does not find."""
    roots = folder_paths.get_folder_paths(folder)
    found: dict[str, Path] = {}
    for name in folder_paths.get_filename_list(folder):
        there = folder_paths.get_full_path(folder, name)
        links = (path for root in roots if os.path.lexists(path := os.path.join(root, name)))
        found[name] = Path(there or next(links, name))
    return found


def prompt_files() -> list[str]:
    """The saved image prompts to choose from: of PNGs those that hold one."""
    return [name for name in any_prompt_files() if not name.lower().endswith(PNG) or _holds(PROMPTS, name)]


def prompt_images() -> list[str]:
    """The PNGs of the input folder that hold an image prompt."""
    return [name for name in any_images() if _holds(PROMPT_IMAGES, name)]


def any_prompt_files() -> list[str]:
    """Everything that a saved image prompt could be, PNGs without one among them."""
    return folder_paths.get_filename_list(PROMPTS)


def any_images() -> list[str]:
    """Every PNG of the input folder."""
    return folder_paths.get_filename_list(PROMPT_IMAGES)


def prompt_path(name: str) -> Path:
    """The full path of a chosen image prompt; ComfyUI checks that it lies inside the folders."""
    return Path(folder_paths.get_full_path_or_raise(PROMPTS, known_name(name, any_prompt_files())))


def prompt_image_path(name: str) -> Path:
    """The full path of a chosen PNG; ComfyUI checks that it lies inside the input folder."""
    return Path(folder_paths.get_full_path_or_raise(PROMPT_IMAGES, known_name(name, any_images())))


def new_prompt_file(prefix: str, form: PromptForm) -> tuple[str, Path]:
    """A file that is not there yet: its name as `prompt_files` will list it, and its path."""
    return _new_file(prefix, _kept_prompts(), form.ending)


def _holds(folder: str, name: str) -> bool:
    path = folder_paths.get_full_path(folder, name)
    return path is not None and holds_prompt(Path(path))


def new_adapter_file(prefix: str) -> tuple[str, Path]:
    """A file that is not there yet: its name as `adapter_files` will list it, and its path."""
    return _new_file(prefix, _saved_adapters(), ".safetensors")


def training_file(prefix: str, identity: str) -> Path:
    """Where the checkpoint of a training of this identity is, or will be."""
    root = os.path.join(folder_paths.get_output_directory(), TRAININGS)
    folder, name, *_ = folder_paths.get_save_image_path(prefix, root)
    file = f"{name}_{identity[:12]}.safetensors"
    return Path(folder) / file


def _new_file(prefix: str, root: str, ending: str) -> tuple[str, Path]:
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, root)
    file = f"{name}_{counter:05}_{ending}"
    return os.path.join(subfolder, file), Path(folder) / file


def _saved_adapters() -> str:
    return os.path.join(folder_paths.get_output_directory(), FOLDER)


def _kept_prompts() -> str:
    return os.path.join(folder_paths.get_output_directory(), PROMPTS)
