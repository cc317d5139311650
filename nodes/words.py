"""*Words for Reference*."""

from comfy.sd import CLIP
from comfy_api.latest import io

from ..ipadapter_core.encoders.words import encode_words
from ..ipadapter_core.prompt.image_prompt import ImagePrompt
from .checked import CheckedNode
from .sockets import CATEGORY, ImagePromptSocket


class WordsForReference(CheckedNode):
    """Makes references act where the text attends to words."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreWords",
            display_name="Words for Reference",
            category=CATEGORY,
            description="Ties references to words of the text: they act where the image is about these words, so that no mask "
            "has to be drawn. For SD1.5, SDXL and other UNets.",
            search_aliases=["conceptrol", "concept mask", "text mask", "attention mask", "subject", "ip adapter"],
            inputs=[
                ImagePromptSocket.Input("image_prompt", tooltip="The references that belong to the words."),
                io.Clip.Input("clip", tooltip="The checkpoint's CLIP, which encodes the text."),
                io.String.Input(
                    "text",
                    multiline=True,
                    default="a photo of a cat",
                    tooltip="The whole positive prompt. It comes out encoded: give that to the sampler.",
                ),
                io.String.Input(
                    "words",
                    default="cat",
                    tooltip="The words of the text that the references show, as they stand there; several with commas. Empty: "
                    "the references act everywhere.",
                ),
            ],
            outputs=[
                ImagePromptSocket.Output(
                    "image_prompt", tooltip="For Combine Image Prompts (concat) or Apply IP-Adapter."
                ),
                io.Conditioning.Output(
                    "positive", tooltip="The text, for the sampler; of several nodes with the same text any one."
                ),
            ],
        )

    @classmethod
    def execute(cls, image_prompt: ImagePrompt, clip: CLIP, text: str, words: str) -> io.NodeOutput:
        """Encodes the text and finds the words in it."""
        return io.NodeOutput(*encode_words(image_prompt, clip, text, words))
