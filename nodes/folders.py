"""The `ipadapter` model folder, shared with whatever other pack knows it, and where image prompts are kept."""

import os
from pathlib import Path

import folder_paths

from ..ipadapter_core.presets.load import ModelFolders
from .file_names import known_name

FOLDER = "ipadapter"
PROMPTS = "image_prompts"
PROMPT_ENDINGS = {".safetensors", ".ipadpt"}


def register_folders() -> None:
    """Adds models/ipadapter; keeps folders that extra_model_paths.yaml or another pack named, and gives them a filter.

    Image prompts are kept in output/image_prompts, and read from there and from the input folder.
    """
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
    paths, extensions = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, extensions or folder_paths.supported_pt_extensions)
    kept = [_kept_prompts(), folder_paths.get_input_directory()]
    folder_paths.folder_names_and_paths[PROMPTS] = (kept, PROMPT_ENDINGS)


def adapter_files() -> list[str]:
    """The names to choose from."""
    return folder_paths.get_filename_list(FOLDER)


def adapter_path(name: str) -> str:
    """The full path of a chosen name; ComfyUI checks that it lies inside the folder."""
    return folder_paths.get_full_path_or_raise(FOLDER, known_name(name, adapter_files()))


FACE_MODELS = ("buffalo_l", "antelopev2")  # the sets that published adapters were trained with


def face_model_folders() -> dict[str, Path]:
    """The sets of face models in models/insightface/models by name, published ones first, there or not."""
    root = Path(folder_paths.models_dir) / "insightface" / "models"
    there = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return {name: root / name for name in dict.fromkeys((*FACE_MODELS, *there))}


def encoder_files() -> list[str]:
    """The image encoders to choose from."""
    return folder_paths.get_filename_list("clip_vision")


def encoder_path(name: str) -> Path:
    """The full path of a chosen image encoder."""
    return Path(folder_paths.get_full_path_or_raise("clip_vision", known_name(name, encoder_files())))


def model_folders() -> ModelFolders:
    """Everything that the preset loader may choose from."""
    adapters = [Path(adapter_path(name)) for name in adapter_files()]
    return ModelFolders(adapters, [encoder_path(name) for name in encoder_files()], face_model_folders())


def prompt_files() -> list[str]:
    """The saved image prompts to choose from."""
    return folder_paths.get_filename_list(PROMPTS)


def prompt_path(name: str) -> Path:
    """The full path of a chosen image prompt; ComfyUI checks that it lies inside the folders."""
    return Path(folder_paths.get_full_path_or_raise(PROMPTS, known_name(name, prompt_files())))


def new_prompt_file(prefix: str) -> tuple[str, Path]:
    """A file that is not there yet: its name as `prompt_files` will list it, and its path."""
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, _kept_prompts())
    file = f"{name}_{counter:05}_.safetensors"
    return os.path.join(subfolder, file), Path(folder) / file


def _kept_prompts() -> str:
    return os.path.join(folder_paths.get_output_directory(), PROMPTS)
