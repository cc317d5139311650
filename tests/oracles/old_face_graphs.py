"""The examples of ComfyUI_IPAdapter_plus with faces and with Kolors, written for the demo world."""

from pack.tests.oracles.old_graphs import FACE, WINDOW, Old
from pack.tools.workflows.graph import Graph

FACE_VALUES = {"weight": 0.85, "weight_faceidv2": 1.5, "weight_type": "linear", "combine_embeds": "concat", **WINDOW,
               "embeds_scaling": "V only"}  # fmt: skip

FACE_LOADER = {"kind": "IPAdapterUnifiedLoaderFaceID", "lora_strength": 0.6, "provider": "CPU"}


def faceid() -> Graph:
    graph = Old()
    model, pipeline = graph.unified("FACEID", **FACE_LOADER)
    made = graph.add("IPAdapterFaceID", model=model, ipadapter=pipeline, image=graph.portrait(), **FACE_VALUES)
    graph.add("PreviewImage", images=made[1])
    return graph.sampled(made[0])


def faceid_batch() -> Graph:
    graph = Old()
    model, pipeline = graph.unified("FACEID", **FACE_LOADER)
    faces = graph.add("RepeatImageBatch", image=graph.portrait(), amount=2)[0]
    made = graph.add("IPAAdapterFaceIDBatch", model=model, ipadapter=pipeline, image=faces, **FACE_VALUES)
    return graph.sampled(made[0], count=2)


def ideal_faceid_config() -> Graph:
    graph = Old()
    model, pipeline = graph.unified("FACEID", **FACE_LOADER)
    made = graph.add("IPAdapterFaceID", model=model, ipadapter=pipeline, image=graph.portrait(), **FACE_VALUES)
    loader = graph.add(
        "IPAdapterUnifiedLoader", model=made[0], preset="PLUS FACE (portraits)", ipadapter=pipeline
    )  # fmt: skip
    picture = graph.prepared(graph.portrait())
    return graph.sampled(graph.advanced(loader[0], loader[1], picture, weight=0.4, start_at=0.3))


def portrait() -> Graph:
    graph = Old()
    faces = graph.add("IPAdapterInsightFaceLoader", provider="CPU", model_name="buffalo_l")[0]
    values = {key: value for key, value in FACE_VALUES.items() if key != "weight"} | {"weight": 0.7}
    made = graph.add(
        "IPAdapterFaceID", model=graph.model, ipadapter=graph.file(FACE), image=graph.portrait(), **values,
        insightface=faces, clip_vision=graph.encoder,
    )  # fmt: skip
    return graph.sampled(made[0])


def kolors() -> Graph:
    graph = Old()
    model, pipeline = graph.unified("Composition", "IPAdapterUnifiedLoaderCommunity")
    return graph.sampled(graph.advanced(model, pipeline, graph.drawn(), weight_type="ease out"))


def faceid_kolors() -> Graph:
    graph = Old()
    faces = graph.add("IPAdapterInsightFaceLoader", provider="CPU", model_name="buffalo_l")[0]
    made = graph.add(
        "IPAdapterFaceIDKolors", model=graph.model, ipadapter=graph.file(FACE), image=graph.portrait(), **FACE_VALUES,
        weight_kolors=1.0, insightface=faces, clip_vision=graph.encoder,
    )  # fmt: skip
    return graph.sampled(made[0])
