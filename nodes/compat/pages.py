"""What the help page of each old node says; `python3 dev.py docs` writes the pages from here and from the schemas."""

from typing import NamedTuple

from comfy_api.latest import io


class Way(NamedTuple):
    """What an old node does, and how the same is done with the nodes of IP-Adapter Core."""

    does: str
    instead: str


ENCODE = "*Encode Reference Image*, then *Apply IP-Adapter*"
PER_FRAME = "with references set to 'one per frame'"
FACE = "*Encode Face*, then *Apply IP-Adapter*"
PRECISE = "*Layer Weights* with '{}' into *Apply IP-Adapter*; its second weight is a share of the weight"
WAYS = {
    "IPAdapter": Way(
        "Steers a model by a reference, with the files that *IPAdapter Unified Loader* found.",
        f"{ENCODE}. 'prompt is more important' is 'ease out' and 'style transfer' itself in *Layer Weights*.",
    ),
    "IPAdapterAdvanced": Way(
        "Steers a model by one or several references.",
        f"{ENCODE}; weight_type is *Layer Weights*, combine_embeds is *Combine Image Prompts* between the two.",
    ),
    "IPAdapterBatch": Way("Gives image i of the result reference i.", f"{ENCODE} {PER_FRAME}."),
    "IPAdapterFaceID": Way(
        "Steers a model by the most confident face of each image.",
        f"{FACE}. *Encode Face* lets you choose the face, and shows all of them.",
    ),
    "IPAdapterFaceIDKolors": Way(
        "The same for Kolors, with a weight for its text projection.", f"{FACE}; there is no weight_kolors."
    ),
    "IPAAdapterFaceIDBatch": Way(
        "Gives image i of the result the face of image i.",
        f"{FACE} {PER_FRAME}, several set to 'average per picture'.",
    ),
    "IPAdapterTiled": Way(
        "Cuts a large or long reference into tiles, each acting in its place.",
        "*Encode Tiled Reference*, then *Apply IP-Adapter*. Nothing is cropped away, and masks add up to one.",
    ),
    "IPAdapterTiledBatch": Way(
        "Tiles, where image i of the result has those of reference i.", "None yet: this node is the way."
    ),
    "IPAdapterEmbeds": Way(
        "Steers a model by embeds.",
        "*Apply IP-Adapter*: an image prompt is embeds, their negative, and what made them.",
    ),
    "IPAdapterEmbedsBatch": Way("Gives image i of the result embed i.", f"*Apply IP-Adapter* {PER_FRAME}."),
    "IPAdapterStyleComposition": Way(
        "Takes style from one image and composition from another.",
        "*Encode Reference Image* for each, then *Apply Style and Composition*, for SD1.5 as well.",
    ),
    "IPAdapterStyleCompositionBatch": Way(
        "The same for each image of a batch.", "Two *Apply IP-Adapter* with *Layer Weights*, 'one per frame' each."
    ),
    "IPAdapterMS": Way(
        "Steers a model with a weight for each block.",
        f"{ENCODE}, with *Layer Weights*, which takes blocks by name as well, 'input 4: 0.5'.",
    ),
    "IPAdapterClipVisionEnhancer": Way(
        "Looks at an image as a whole and in tiles.", "*Encode Reference (Tiled Detail)*, then *Apply IP-Adapter*."
    ),
    "IPAdapterClipVisionEnhancerBatch": Way(
        "The same, where image i of the result has reference i.",
        f"*Encode Reference (Tiled Detail)*, then *Apply IP-Adapter* {PER_FRAME}.",
    ),
    "IPAdapterFromParams": Way(
        "Steers regions, each by a reference of its own.", "*Regional Image Prompts*, then *Apply IP-Adapter*."
    ),
    "IPAdapterPreciseStyleTransfer": Way(
        "Takes the style and pushes away from the composition.", PRECISE.format("style transfer precise") + "."
    ),
    "IPAdapterPreciseStyleTransferBatch": Way(
        "The same for each image of a batch.", PRECISE.format("style transfer precise") + f", {PER_FRAME}."
    ),
    "IPAdapterPreciseComposition": Way(
        "Takes the composition and pushes away from the style.", PRECISE.format("composition precise") + "."
    ),
    "IPAdapterPreciseCompositionBatch": Way(
        "The same for each image of a batch.", PRECISE.format("composition precise") + f", {PER_FRAME}."
    ),
    "IPAdapterUnifiedLoader": Way(
        "Finds the adapter and the image encoder of a preset by what is in the files.",
        "*Load IP-Adapter Preset*, or *Load IP-Adapter* and *Load CLIP Vision*.",
    ),
    "IPAdapterUnifiedLoaderFaceID": Way(
        "The same for faces; the LoRA is the one inside the file.",
        "*Load IP-Adapter Preset*, or *Load IP-Adapter*, *Load Face Analysis* and *Apply FaceID LoRA*.",
    ),
    "IPAdapterUnifiedLoaderCommunity": Way("The same for two more kinds.", "*Load IP-Adapter Preset*."),
    "IPAdapterModelLoader": Way("Loads an adapter.", "*Load IP-Adapter*, which shows what it found."),
    "IPAdapterInsightFaceLoader": Way("Opens the models that find and know faces.", "*Load Face Analysis*."),
    "IPAdapterEncoder": Way(
        "Turns images into embeds.",
        "*Encode Reference Image*. The weight is *Combine Image Prompts* with 'add' and that weight.",
    ),
    "IPAdapterCombineEmbeds": Way("Makes one of several embeds.", "*Combine Image Prompts*, with a weight for each."),
    "IPAdapterNoise": Way("Makes noise, for image_negative.", "*Negative Image Noise*, at any size and with a seed."),
    "PrepImageForClipVision": Way(
        "Crops an image to a square of 224 pixels and sharpens it.",
        "fit and sharpening of *Encode Reference Image*, at the size that the encoder has.",
    ),
    "IPAdapterSaveEmbeds": Way(
        "Writes embeds to the output folder, as ComfyUI_IPAdapter_plus can read them.",
        "*Save Image Prompt*, which writes safetensors that say what they are.",
    ),
    "IPAdapterLoadEmbeds": Way(
        "Reads embeds from the input folder; nothing in the file is run.", "*Load Image Prompt*, which reads them, too."
    ),
    "IPAdapterWeights": Way(
        "Makes a weight for each frame, and lays images out over them.",
        "*Frame Weights*, and *References over Frames* behind *Encode Reference Image*.",
    ),
    "IPAdapterCombineWeights": Way("Puts rows of weights one behind the other.", "before of *Frame Weights*."),
    "IPAdapterWeightsFromStrategy": Way("The same weights for other images.", "The same *Frame Weights* again."),
    "IPAdapterPromptScheduleFromWeightsStrategy": Way(
        "Writes a keyframe for each line of a text.", "*Prompts over Frames*, which needs no other pack."
    ),
    "IPAdapterRegionalConditioning": Way(
        "A reference, its region, and prompts for the region.", "*Regional Image Prompts*, for all regions at once."
    ),
    "IPAdapterCombineParams": Way("Several regions.", "*Regional Image Prompts*, for all regions at once."),
    "IPAdapterApply": Way(
        "Steers a model by one or several references.",
        f"{ENCODE}. weight_type is embeds_scaling there: 'original' is 'V only', 'linear' is 'K+V', 'channel penalty' is "
        "'K+mean(V) w/ C penalty'; noise is *Negative Image Noise* into negative_image.",
    ),
    "IPAdapterApplyFaceID": Way("The same for faces.", f"{FACE}; faceid_v2 is plus_version, weight_v2 is structure."),
    "IPAdapterTilesMasked": Way(
        "Cuts a reference into tiles, each acting in its place, and larger ones in theirs.",
        "*Encode Tiled Reference*, then *Apply IP-Adapter*.",
    ),
    "IPAdapterApplyEncoded": Way(
        "Steers a model by embeds that hold their negative.",
        "*Apply IP-Adapter*: an image prompt is embeds, their negative, and what made them.",
    ),
    "IPAdapterBatchEmbeds": Way("Makes one of two embeds.", "*Combine Image Prompts*."),
    "InsightFaceLoader": Way("Opens the models that find and know faces.", "*Load Face Analysis*."),
    "PrepImageForInsightFace": Way(
        "Crops an image to a square of 640 pixels with a white border, so that faces are found.",
        "Nothing: *Encode Face* finds faces of any size.",
    ),
}


def page(node: type[io.ComfyNode]) -> str:
    """The help page of an old node."""
    schema = node.GET_SCHEMA()
    way = WAYS[schema.node_id]
    lines = [f"# {schema.display_name}", "", way.does, "", "| Input | |", "| --- | --- |"]
    lines += [f"| `{one.id}` | {one.tooltip} |" for one in schema.inputs]
    if schema.outputs:
        lines += ["", "| Output | |", "| --- | --- |"]
        lines += [f"| `{one.display_name}` | {one.io_type} |" for one in schema.outputs]
    lines += ["", "## With the nodes of IP-Adapter Core", "", way.instead, ""]
    lines += [
        "This node has the id, inputs and outputs of ComfyUI_IPAdapter_plus, so that old workflows run as they are. Where that",
        "pack is installed, its own node is used. `python3 dev.py migrate FILE` rewrites a workflow to the new nodes.",
    ]
    return "\n".join(lines) + "\n"
