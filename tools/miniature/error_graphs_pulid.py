"""Workflows that provoke each error about what PuLID reads of a face."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from pack.ipadapter_core.encoders.face.onnx_session import Provider
from pack.ipadapter_core.encoders.face.parser import FaceParser
from pack.ipadapter_core.encoders.face.portrait import TEMPLATE
from pack.tools.miniature.eva_clip import tiny_eva
from pack.tools.miniature.executing import Step
from pack.tools.miniature.face_parser import parser_weights
from pack.tools.miniature.files import Workshop
from pack.tools.miniature.pulid import id_former, pulid_flux


def half_an_eva_clip(shop: Workshop) -> Step:
    """A tensor is missing."""
    weights = tiny_eva()
    del weights["visual.norm.weight"]
    torch.save(weights, shop.place("clip_vision", "eva.pt"))
    return Step("IPAdapterCoreLoadEncoder", {"encoder_name": "eva.pt"})


def a_face_analysis_without_a_parser(shop: Workshop) -> Step:
    """PuLID sees the face alone."""
    return _face(shop, None)


def half_a_face_parser(shop: Workshop) -> Step:
    """A tensor is missing."""
    weights = parser_weights()
    del weights["ffm.conv1.weight"]
    path = shop.place("facexlib", "parsing_bisenet.pth")
    torch.save(weights, path)
    return _face(shop, FaceParser(path, Provider.CPU))


def clip_where_eva_belongs(shop: Workshop) -> Step:
    """PuLID reads EVA02-CLIP's hidden states."""
    return _face(shop, _parser(), clip_vision=shop.encoder())


def an_eva_clip_of_another_size(shop: Workshop) -> Step:
    """Its pooled vector is wider than the adapter's."""
    torch.save(tiny_eva(pooled=48), shop.place("clip_vision", "eva.pt"))
    return _face(shop, _parser(), clip_vision=Step("IPAdapterCoreLoadEncoder", {"encoder_name": "eva.pt"}))


def a_method_for_another_adapter(shop: Workshop) -> Step:
    """Only PuLID for SDXL has one."""
    return shop.applied(shop.checkpoint(), shop.adapter(), identity_method="style")


def _parser() -> Any:
    return SimpleNamespace(classes=lambda crop: torch.ones(crop.shape[:2], dtype=torch.long))


def _face(shop: Workshop, parser: Any, **inputs: Step) -> Step:
    """*Encode Face* on an image with one face."""
    shapes = pulid_flux(2, 96, former=id_former(64, condition=544, look=128))
    face = SimpleNamespace(bbox=[8.0, 8.0, 60.0, 60.0], kps=TEMPLATE.numpy() * 0.15, det_score=0.9,
                           embedding=np.ones(512, np.float32))  # fmt: skip
    analysis = SimpleNamespace(det_model=SimpleNamespace(input_size=(640, 640)), get=lambda _: [face], parser=parser)
    given = {"ip_adapter": shop.transformer_adapter("pulid_flux.safetensors", shapes), "image": shop.picture()}
    known = Step("Load Face Analysis", note="antelopev2", make=lambda: analysis)
    return Step("IPAdapterCoreEncodeFace", given | {"insightface": known} | inputs)


PULID_GRAPHS = (
    half_an_eva_clip, a_face_analysis_without_a_parser, half_a_face_parser, clip_where_eva_belongs, an_eva_clip_of_another_size,
    a_method_for_another_adapter,
)  # fmt: skip
