"""*Load IP-Adapter Preset* and *Load Image Encoder*."""

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui

from ..ipadapter_core.encoders.face.onnx_session import Provider
from ..ipadapter_core.encoders.load import load_image_encoder
from ..ipadapter_core.presets.catalogue import Preset
from ..ipadapter_core.presets.load import load_preset
from .checked import CheckedNode
from .file_names import check_name
from .folders import encoder_files, encoder_path, model_folders
from .sockets import CATEGORY, InsightFaceSocket, IPAdapterSocket
from .telling import presets_told


class LoadPreset(CheckedNode):
    """Finds and loads everything that a preset takes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreLoadPreset",
            display_name="Load IP-Adapter Preset",
            category=CATEGORY,
            description="Finds the adapter, its image encoder, its face models and its LoRA for your model by looking into "
            "the files, whatever they are called, and says what it chose.",
            search_aliases=[
                "ipadapter unified loader",
                "ip adapter preset",
                "unified loader faceid",
                "ipadapter kolors",
            ],
            inputs=[
                io.Model.Input("model", tooltip="The model that the files have to fit."),
                io.Combo.Input(
                    "preset",
                    options=Preset,
                    default=Preset.PLUS,
                    tooltip="STANDARD follows the reference loosely, PLUS closely; FACE and FACEID look at people, "
                    "COMPOSITION at the layout alone.",
                    extra_dict={"told": presets_told()},
                ),
                io.Float.Input(
                    "lora_strength",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Of the LoRA inside a FaceID file: 1 as trained, lower keeps more of the model's own style.",
                ),
                io.Combo.Input(
                    "provider",
                    options=Provider,
                    default=Provider.CPU,
                    tooltip="What runs the face models, for the FACEID presets.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Model.Output("MODEL", tooltip="With the LoRA of a FaceID file, else as it came in."),
                IPAdapterSocket.Output("ip_adapter", tooltip="For the encode node and Apply IP-Adapter."),
                io.ClipVision.Output("clip_vision", tooltip="The image encoder; empty where none is needed."),
                InsightFaceSocket.Output("insightface", tooltip="For Encode Face; empty for other presets."),
            ],
        )

    @classmethod
    def execute(cls, model: ModelPatcher, preset: str, lora_strength: float, provider: str) -> io.NodeOutput:
        """Looks, loads and reports."""
        found = load_preset(model, Preset(preset), model_folders(), lora_strength, Provider(provider))
        return io.NodeOutput(found.model, found.adapter, found.encoder, found.analysis, ui=ui.PreviewText(found.report))


class LoadImageEncoder(CheckedNode):
    """Loads any image encoder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreLoadEncoder",
            display_name="Load Image Encoder",
            category=CATEGORY,
            description="Loads image encoders that Load CLIP Vision does not know, too: SigLIP with its pooling head, "
            "ViT-B, CSD, folders in Hugging Face layout. Nothing is downloaded.",
            search_aliases=["clip vision loader", "siglip", "siglip2", "image encoder", "hugging face", "csd"],
            inputs=[
                io.Combo.Input(
                    "encoder_name",
                    options=encoder_files(),
                    tooltip="A file in models/clip_vision. Where a config.json lies beside it, the whole folder is loaded.",
                )
            ],
            outputs=[io.ClipVision.Output("clip_vision", tooltip="Wherever a CLIP_VISION is asked for.")],
        )

    @classmethod
    def validate_inputs(cls, encoder_name: str | None) -> bool | str:
        """Whether there is such a file; both systems' separators will do."""
        return check_name(encoder_name, encoder_files(), "encoder_name")

    @classmethod
    def execute(cls, encoder_name: str) -> io.NodeOutput:
        """Loads the file."""
        return io.NodeOutput(load_image_encoder(encoder_path(encoder_name)))
