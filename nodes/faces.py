"""*Load Face Analysis*, *Encode Face* and *Apply FaceID LoRA*."""

from torch import Tensor

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui

from ..ipadapter_core.adapter.managed import ManagedAdapter
from ..ipadapter_core.encoders.face.analysis import FaceAnalysis, load_analysis
from ..ipadapter_core.encoders.face.encode import FaceOptions, MultiFaceMode, PlusVersion, encode_faces
from ..ipadapter_core.encoders.face.onnx_session import Provider
from ..ipadapter_core.encoders.face.selection import Choice, FaceOrder, NoFace
from ..ipadapter_core.encoders.image_encoder import ImageEncoder
from ..ipadapter_core.patchers.faceid_lora import apply_lora
from .checked import CheckedNode
from .folders import face_model_folders, face_parser_files
from .sockets import CATEGORY, ImagePromptSocket, InsightFaceSocket, IPAdapterSocket

FACES = f"{CATEGORY}/faces"


class LoadFaceAnalysis(CheckedNode):
    """Opens the models that find faces and tell who they are."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreLoadFaceAnalysis",
            display_name="Load Face Analysis",
            category=FACES,
            description="Opens the detection and recognition models of a folder in models/insightface/models, and a face "
            "parser in models/facexlib where there is one (for PuLID). Needs the package onnxruntime, not insightface.",
            search_aliases=[
                "insightface",
                "face analysis",
                "faceid loader",
                "buffalo_l",
                "antelopev2",
                "instantid",
                "pulid",
            ],
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=list(face_model_folders()),
                    default="buffalo_l",
                    tooltip="FaceID and Portrait want buffalo_l; InstantID, Kolors FaceID and PuLID want antelopev2.",
                ),
                io.Combo.Input(
                    "provider",
                    options=Provider,
                    default=Provider.CPU,
                    tooltip="What runs the models. They are small: the CPU takes a fraction of a second for each image.",
                ),
            ],
            outputs=[
                InsightFaceSocket.Output("insightface", tooltip="For Encode Face; other packs understand it too.")
            ],
        )

    @classmethod
    def execute(cls, model_name: str, provider: str) -> io.NodeOutput:
        """Opens two sessions."""
        parsers = face_parser_files(model_name)
        loaded = load_analysis(face_model_folders()[model_name], Provider(provider), parsers)
        return io.NodeOutput(loaded.analysis, ui=ui.PreviewText(loaded.report))


class EncodeFace(CheckedNode):
    """Turns faces into an image prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreEncodeFace",
            display_name="Encode Face",
            category=FACES,
            description="Finds faces in the images and makes an image prompt of those you choose, for FaceID, Portrait, "
            "InstantID, Kolors FaceID and PuLID. Shows every face with its number.",
            search_aliases=["faceid", "face id", "ipadapter faceid", "portrait", "instantid", "pulid", "face picker"],
            inputs=[
                IPAdapterSocket.Input("ip_adapter", tooltip="A face adapter; it says what is needed of a face."),
                io.Image.Input("image", tooltip="Images of people. Leave some room around the face."),
                InsightFaceSocket.Input("insightface", tooltip="From Load Face Analysis, or another pack's loader."),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="Only for FaceID Plus, Kolors and PuLID: the image encoder that also looks at the face.",
                ),
                io.Combo.Input(
                    "pick",
                    options=FaceOrder,
                    default=FaceOrder.LARGEST,
                    tooltip="How the faces of an image are numbered. 'all' takes every one.",
                ),
                io.Int.Input(
                    "index",
                    default=0,
                    min=0,
                    max=255,
                    tooltip="Which number is taken, counted from 0; the image with the boxes shows them.",
                ),
                io.Combo.Input(
                    "no_face",
                    options=NoFace,
                    default=NoFace.SKIP,
                    tooltip="An image without that face: no effect there, the face of the image before, or an error.",
                ),
                io.Combo.Input(
                    "several",
                    options=MultiFaceMode,
                    default=MultiFaceMode.CONCATENATE,
                    tooltip="Several faces: all are attended to (Portrait was trained on that), or their mean per image "
                    "or over all images. For a face per frame choose the mean per image.",
                ),
                io.Combo.Input(
                    "plus_version",
                    options=PlusVersion,
                    default=PlusVersion.AUTO,
                    tooltip="FaceID Plus for SD1.5 only: its files do not say whether they are v1 or v2, so auto goes by "
                    "the file's name.",
                    advanced=True,
                ),
                io.Float.Input(
                    "structure",
                    default=1.0,
                    min=0.0,
                    max=5.0,
                    step=0.05,
                    tooltip="FaceID Plus v2: how much of the look of the face, beside its identity. More copies hair, "
                    "pose and expression.",
                ),
            ],
            outputs=[
                ImagePromptSocket.Output("image_prompt", tooltip="For Apply IP-Adapter."),
                io.Image.Output("boxes", tooltip="The images with a numbered box around each face; green is taken."),
                io.Image.Output("faces", tooltip="The faces as they were cut out."),
            ],
        )

    @classmethod
    def execute(  # noqa: PLR0913 - ComfyUI passes each input by its name
        cls,
        ip_adapter: ManagedAdapter,
        image: Tensor,
        insightface: FaceAnalysis | None,
        pick: str,
        index: int,
        no_face: str,
        several: str,
        plus_version: str,
        structure: float,
        clip_vision: ImageEncoder | None = None,
    ) -> io.NodeOutput:
        """Finds, chooses and encodes."""
        choice = Choice(FaceOrder(pick), index, NoFace(no_face))
        options = FaceOptions(choice, MultiFaceMode(several), PlusVersion(plus_version), structure)
        found = encode_faces(ip_adapter.spec, insightface, clip_vision, image, options)
        shown = ui.PreviewImage(found.boxes, cls=cls).as_dict() | ui.PreviewText(found.report).as_dict()
        return io.NodeOutput(found.prompt, found.boxes, found.crops, ui=shown)


class ApplyFaceLora(CheckedNode):
    """Puts the LoRA inside a FaceID file on a model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreApplyLora",
            display_name="Apply FaceID LoRA",
            category=FACES,
            description="FaceID files carry a LoRA that they were trained with. This node applies it; a separate LoRA file "
            "is not needed.",
            search_aliases=["faceid lora", "ip-adapter lora", "lora from ip adapter"],
            inputs=[
                io.Model.Input("model", tooltip="The model; a patched copy comes out."),
                IPAdapterSocket.Input("ip_adapter", tooltip="A FaceID, FaceID Plus or Plus V2 file."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-2.0,
                    max=2.0,
                    step=0.05,
                    tooltip="1 as trained. Lower it when the image loses detail or the model's own style.",
                ),
            ],
            outputs=[io.Model.Output("MODEL", tooltip="For Apply IP-Adapter, before or after it.")],
        )

    @classmethod
    def execute(cls, model: ModelPatcher, ip_adapter: ManagedAdapter, strength: float) -> io.NodeOutput:
        """Adds weight patches."""
        patched = apply_lora(model, ip_adapter, strength)
        return io.NodeOutput(patched.model, ui=ui.PreviewText(patched.report))
