"""*Save Image Prompt* and *Load Image Prompt*."""

from pathlib import Path

from comfy_api.latest import io, ui

from ..ipadapter_core.prompt.files import EMBEDS, load_prompt, prompt_of_embeds, read_embeds, save_prompt
from ..ipadapter_core.prompt.image_prompt import ImagePrompt
from .checked import CheckedNode
from .file_names import check_name
from .folders import new_prompt_file, prompt_files, prompt_path
from .sockets import CATEGORY, ImagePromptSocket

NONE = "none"


class SaveImagePrompt(CheckedNode):
    """Keeps an image prompt for other workflows."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreSave",
            display_name="Save Image Prompt",
            category=CATEGORY,
            description="Writes an image prompt to output/image_prompts as safetensors, with its weights and masks, and what "
            "it was made from. Whoever loads it needs neither the images nor the image encoder.",
            search_aliases=["save embeds", "ipadapter save", "keep style", "ipadpt", "ip adapter"],
            is_output_node=True,
            inputs=[
                ImagePromptSocket.Input("image_prompt", tooltip="What to keep."),
                io.String.Input(
                    "filename_prefix",
                    default="prompt",
                    tooltip="The file's name, below output/image_prompts; a number is added.",
                ),
                io.String.Input(
                    "note", default="", optional=True, tooltip="Words of your own, kept in the file's metadata."
                ),
            ],
            outputs=[io.String.Output("file", tooltip="The name under which Load Image Prompt offers it.")],
        )

    @classmethod
    def execute(cls, image_prompt: ImagePrompt, filename_prefix: str, note: str = "") -> io.NodeOutput:
        """Writes a new file."""
        name, path = new_prompt_file(filename_prefix)
        save_prompt(image_prompt, path, note)
        return io.NodeOutput(name, ui=ui.PreviewText(name))


class LoadImagePrompt(CheckedNode):
    """Brings a saved image prompt back."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        files = prompt_files()
        return io.Schema(
            node_id="IPAdapterCoreLoadPrompt",
            display_name="Load Image Prompt",
            category=CATEGORY,
            description="Reads an image prompt from output/image_prompts or from the input folder, and shows what it was made "
            "from. Also reads the .ipadpt files of ComfyUI_IPAdapter_plus.",
            search_aliases=["load embeds", "ipadapter load", "saved style", "ipadpt", "ip adapter"],
            inputs=[
                io.Combo.Input("file", options=files, tooltip="From Save Image Prompt, or an .ipadpt file."),
                io.Combo.Input(
                    "negative_file",
                    options=[NONE, *(name for name in files if name.endswith(EMBEDS))],
                    default=NONE,
                    optional=True,
                    advanced=True,
                    tooltip="For .ipadpt files, which hold one side only: the negative that was saved beside it. Without one "
                    "it is zeros.",
                ),
            ],
            outputs=[ImagePromptSocket.Output("image_prompt", tooltip="For Apply IP-Adapter.")],
        )

    @classmethod
    def validate_inputs(cls, file: str | None, negative_file: str | None = NONE) -> bool | str:
        """Whether there are such files; both systems' separators will do."""
        said = check_name(file, prompt_files(), "file")
        return said if said is not True else check_name(negative_file, [NONE, *prompt_files()], "negative_file")

    @classmethod
    def fingerprint_inputs(cls, file: str, negative_file: str = NONE) -> list[tuple[str, int, int]]:
        """Changes when a file is written anew."""
        paths = [prompt_path(name) for name in (file, negative_file) if name != NONE]
        return [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths]

    @classmethod
    def execute(cls, file: str, negative_file: str = NONE) -> io.NodeOutput:
        """Reads the file; nothing in it is run."""
        prompt = _read(prompt_path(file), None if negative_file == NONE else prompt_path(negative_file))
        words = (f"{len(prompt.references)} references", prompt.adapter, prompt.encoder, prompt.made_from)
        return io.NodeOutput(prompt, ui=ui.PreviewText("\n".join(word for word in words if word)))


def _read(path: Path, negative: Path | None):
    if path.suffix != EMBEDS:
        return load_prompt(path)
    return prompt_of_embeds(read_embeds(path), negative and read_embeds(negative), path.name)
