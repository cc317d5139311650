"""*Load Image Encoder*."""

import folder_paths
from comfy_api.latest import io

from ..ipadapter_core.encoders.siglip import load_image_encoder
from .sockets import CATEGORY

FOLDER = "clip_vision"


class LoadImageEncoder(io.ComfyNode):
    """Reads an image encoder with everything that adapters need of it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreLoadEncoder",
            display_name="Load Image Encoder",
            category=CATEGORY,
            description="Loads an image encoder like Load CLIP Vision does, and also SigLIP models of any size with the "
            "pooling head that InstantX' FLUX adapter and Anima's encoder need.",
            search_aliases=["siglip", "siglip2", "clip vision", "image encoder", "load clip vision"],
            inputs=[
                io.Combo.Input(
                    "encoder_name",
                    options=folder_paths.get_filename_list(FOLDER),
                    tooltip="A file in models/clip_vision. Load IP-Adapter names the encoder that its adapter needs.",
                )
            ],
            outputs=[
                io.ClipVision.Output("clip_vision", tooltip="For Encode Reference Image, or any CLIP vision input.")
            ],
        )

    @classmethod
    def execute(cls, encoder_name: str) -> io.NodeOutput:
        """Loads the file."""
        path = folder_paths.get_full_path_or_raise(FOLDER, encoder_name)
        return io.NodeOutput(load_image_encoder(path, encoder_name))
