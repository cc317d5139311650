"""From a projector's description to the network."""

from typing import Any

from torch import nn

from ...checkpoint.spec import ProjectorKind, ProjectorSpec
from ...host import Operations
from .face import FacePlusProjector, FaceProjector, IdentityResampler
from .id_encoder import IDEncoder
from .id_former import IDFormer
from .identity import NoProjector
from .instructed_resampler import InstructedResampler
from .linear import LinearProjector
from .mlp import MLPProjector, MLPTokensProjector
from .perceiver import Perceiver
from .resampler import Resampler
from .style import ContentStyleProjector, StyleProjector
from .time_resampler import TimeResampler
from .two_scales import TwoScalesProjector

PROJECTORS = {
    ProjectorKind.LINEAR: LinearProjector,
    ProjectorKind.MLP: MLPProjector,
    ProjectorKind.RESAMPLER: Resampler,
    ProjectorKind.FACE: FaceProjector,
    ProjectorKind.FACE_PLUS: FacePlusProjector,
    ProjectorKind.FACE_RESAMPLER: IdentityResampler,
    ProjectorKind.STYLE: StyleProjector,
    ProjectorKind.CONTENT_STYLE: ContentStyleProjector,
    ProjectorKind.INSTRUCTED: InstructedResampler,
    ProjectorKind.MLP_TOKENS: MLPTokensProjector,
    ProjectorKind.TIME_RESAMPLER: TimeResampler,
    ProjectorKind.PERCEIVER: Perceiver,
    ProjectorKind.ID_FORMER: IDFormer,
    ProjectorKind.ID_ENCODER: IDEncoder,
    ProjectorKind.TWO_SCALES: TwoScalesProjector,
    ProjectorKind.NONE: NoProjector,
}


def build_projector(spec: ProjectorSpec, operations: Operations, **options: Any) -> nn.Module:
    """The uninitialised network for a description; its `state_dict` has the keys below `image_proj.` of a file."""
    return PROJECTORS[spec.kind](spec, operations, **options)
