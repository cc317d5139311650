"""*Save Image Prompt*, *Load Image Prompt* and *Load Image Prompt from PNG*."""

from pathlib import Path

from torch import Tensor

from comfy_api.latest import io, ui

from ..ipadapter_core.drawing.contact_sheet import contact_sheet
from ..ipadapter_core.encoders.features import to_uint8
from ..ipadapter_core.prompt.files import (
    EMBEDS,
    PromptForm,
    load_prompt,
    prompt_of_embeds,
    read_embeds,
    save_prompt,
)
from ..ipadapter_core.prompt.image_prompt import ImagePrompt
from ..ipadapter_core.prompt.png_prompts import seen_images
from .checked import CheckedNode
from .file_names import check_name
from .folders import (
    PROMPTS,
    any_images,
    any_prompt_files,
    new_prompt_file,
    prompt_files,
    prompt_image_path,
    prompt_images,
    prompt_path,
)
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
            description="Writes an image prompt to output/image_prompts with its weights and masks, and what it was made from: "
            "as safetensors, or inside a PNG that shows the reference and goes wherever images go. Whoever loads it needs "
            "neither the images nor the image encoder.",
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
                io.Combo.Input(
                    "form",
                    options=PromptForm,
                    default=PromptForm.SAFETENSORS,
                    optional=True,
                    tooltip="safetensors: numbers alone. PNG: the same inside an image, which engines that copy only images to "
                    "their workers carry along; programs that save the image anew leave the prompt out.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="What the PNG shows: the reference itself. Without it, what the image encoder saw of it.",
                ),
            ],
            outputs=[io.String.Output("file", tooltip="The name under which Load Image Prompt offers it.")],
        )

    @classmethod
    def execute(
        cls,
        image_prompt: ImagePrompt,
        filename_prefix: str,
        note: str = "",
        form: str = PromptForm.SAFETENSORS.value,
        image: Tensor | None = None,
    ) -> io.NodeOutput:
        """Writes a new file."""
        name, path = new_prompt_file(filename_prefix, PromptForm(form))
        if PromptForm(form) is PromptForm.SAFETENSORS:
            save_prompt(image_prompt, path, note)
            return io.NodeOutput(name, ui=ui.PreviewText(name))
        shown = seen_images(image_prompt) if image is None else list(to_uint8(image))
        save_prompt(image_prompt, path, note, contact_sheet(shown))
        place = {"filename": path.name, "subfolder": str(Path(PROMPTS, name).parent), "type": "output"}
        return io.NodeOutput(name, ui={"text": (name,), "images": [place]})


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
                io.Combo.Input(
                    "file", options=files, tooltip="From Save Image Prompt, also a PNG, or an .ipadpt file."
                ),
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
        said = check_name(file, prompt_files(), "file", any_prompt_files())
        return said if said is not True else check_name(negative_file, [NONE, *prompt_files()], "negative_file")

    @classmethod
    def fingerprint_inputs(cls, file: str, negative_file: str = NONE) -> list[tuple[str, int, int]]:
        """Changes when a file is written anew."""
        return [_state(prompt_path(name)) for name in (file, negative_file) if name != NONE]

    @classmethod
    def execute(cls, file: str, negative_file: str = NONE) -> io.NodeOutput:
        """Reads the file; nothing in it is run."""
        return _shown(_read(prompt_path(file), None if negative_file == NONE else prompt_path(negative_file)))


class LoadImagePromptFromPNG(CheckedNode):
    """Brings an image prompt back out of an image of the input folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreLoadPromptPNG",
            display_name="Load Image Prompt from PNG",
            category=CATEGORY,
            description="Reads the image prompt that Save Image Prompt put into a PNG of the input folder. The image is "
            "chosen, uploaded and copied to workers as in Load Image, which itself hands on pixels alone.",
            search_aliases=["upload image prompt", "embedded image prompt", "saved style", "distributed", "ip adapter"],
            inputs=[
                io.Combo.Input(
                    "image",
                    options=prompt_images(),
                    upload=io.UploadType.image,
                    tooltip="A PNG from Save Image Prompt: upload it, or drop it on the node.",
                )
            ],
            outputs=[ImagePromptSocket.Output("image_prompt", tooltip="For Apply IP-Adapter.")],
        )

    @classmethod
    def validate_inputs(cls, image: str | None) -> bool | str:
        """Whether there is such an image; both systems' separators will do."""
        return check_name(image, prompt_images(), "image", any_images())

    @classmethod
    def fingerprint_inputs(cls, image: str) -> tuple[str, int, int]:
        """Changes when the image is written anew."""
        return _state(prompt_image_path(image))

    @classmethod
    def execute(cls, image: str) -> io.NodeOutput:
        """Reads the prompt in the image; nothing in it is run."""
        return _shown(load_prompt(prompt_image_path(image)))


def _state(path: Path) -> tuple[str, int, int]:
    return str(path), path.stat().st_mtime_ns, path.stat().st_size


def _shown(prompt: ImagePrompt) -> io.NodeOutput:
    """The prompt, and on the node what it was made from."""
    words = (f"{len(prompt.references)} references", prompt.adapter, prompt.encoder, prompt.made_from)
    return io.NodeOutput(prompt, ui=ui.PreviewText("\n".join(word for word in words if word)))


def _read(path: Path, negative: Path | None):
    if path.suffix != EMBEDS:
        return load_prompt(path)
    return prompt_of_embeds(read_embeds(path), negative and read_embeds(negative), path.name)
