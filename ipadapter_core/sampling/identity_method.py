"""How PuLID for SDXL weighs likeness against the prompt: its authors' settings, by release."""

from enum import Enum

from ..attention.orthogonal_attention import Orthogonality, Projection
from ..checkpoint.enums import FormatName
from ..checkpoint.spec import AdapterSpec
from ..errors import WeightError


class IdentityMethod(str, Enum):
    """What an adapter of a face takes care of: as its file was published, likeness, the prompt's style, or nothing."""

    AUTO = "auto"
    FIDELITY = "fidelity"
    STYLE = "style"
    NEUTRAL = "neutral"


METHODS: dict[FormatName, dict[IdentityMethod, Orthogonality]] = {
    FormatName.PULID_V1: {
        IdentityMethod.AUTO: Orthogonality(8, Projection.V2),
        IdentityMethod.FIDELITY: Orthogonality(8, Projection.V2),
        IdentityMethod.STYLE: Orthogonality(16, Projection.V1),
        IdentityMethod.NEUTRAL: Orthogonality(),
    },
    FormatName.PULID_V1_1: {
        IdentityMethod.AUTO: Orthogonality(20, Projection.V2),
        IdentityMethod.FIDELITY: Orthogonality(20, Projection.V2),
        IdentityMethod.STYLE: Orthogonality(20, Projection.V1),
        IdentityMethod.NEUTRAL: Orthogonality(),
    },
}  # source: ToTheBeginning/PuLID (1aa2fc7), app.py and app_v1_1.py


def orthogonality(spec: AdapterSpec, method: IdentityMethod, zeros: int | None) -> Orthogonality | None:
    """What an adapter's output is held against, None for nothing; `zeros` stand in for the method's own number.

    Raises `WeightError` where either is asked of an adapter that has no such thing.
    """
    known = METHODS.get(spec.format)
    if known is None:
        if method is not IdentityMethod.AUTO or zeros is not None:
            raise WeightError(
                f"identity_method {method.value} and zero_tokens {-1 if zeros is None else zeros} are for PuLID for SDXL, but "
                f"{spec.file} is {spec.kind}: leave them at auto and -1 in Apply IP-Adapter, or load another file"
            )
        return None
    how = known[method] if zeros is None else known[method]._replace(zeros=zeros)
    return None if how == Orthogonality() else how
