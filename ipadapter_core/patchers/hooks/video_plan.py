"""The plan of a model call over videos: tokens of all latent frames in one row, of which masks and weights may want each.

Queries do not see one another in cross-attention to image tokens, so a row of F frames is as good as F rows of one; then
masks, references and weights by frame are those of a batch of images.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields

from torch import Tensor

from ...errors import SamplingError
from ...masks.token_grid import patch_grid
from ...sampling.batch_layout import BatchLayout
from ...sampling.layer_call import LayerCall
from ...sampling.plan import ModelCallPlan
from .wrappers import Options

STRIDE = 4  # frames of the video in each latent frame but the first, which is one alone
TIME = 2  # dimension of frames in a latent (B, C, F, H, W)

Beside = tuple[int, int]  # frames of tokens before and behind those of the video


@dataclass(frozen=True, eq=False)
class VideoPlan(ModelCallPlan):
    """`frames` are the video's frames that the latent ones stand for; `remake` plans the call for another layout.

    `by_frame` is whether some application tells frames apart; who watches wants to, where they can be. `front` is whether a
    frame of tokens beside the video's stands before them or behind, None where that is not known.
    """

    frames: tuple[int, ...] = ()
    front: bool | None = False
    by_frame: bool = False
    remake: Callable[[BatchLayout], ModelCallPlan] | None = None
    of_frames: dict[Beside, ModelCallPlan] = field(default_factory=dict[Beside, ModelCallPlan], repr=False)

    def frame_plan(self, beside: Beside = (0, 0)) -> ModelCallPlan:
        """The same call with each frame as an image; frames of tokens beside the video's go by its first or last one."""
        if beside not in self.of_frames:
            assert self.remake is not None
            before, behind = beside
            shown = (*self.frames[:1] * before, *self.frames, *self.frames[-1:] * behind)
            self.of_frames[beside] = self.remake(self.layout.in_frames(shown, STRIDE))
        return self.of_frames[beside]

    def asked(self, query: Tensor, heads: int) -> tuple[ModelCallPlan, LayerCall]:
        """Who is asked at a layer for queries (B, L, D), and how: with all tokens in a row, or a row for each frame.

        Raises `SamplingError` where frames have to be told apart and the tokens are not whole frames.
        """
        grid = patch_grid(self.layout.latent)
        if not self.by_frame and not self.observers:
            return self, LayerCall(query, heads, (grid,))
        batch, tokens, width = query.shape
        each = grid[0] * grid[1]
        more, uneven = divmod(tokens - len(self.frames) * each, each)
        if uneven or more < 0 or (more and self.front is None) or (more > 1 and self.front):
            if not self.by_frame:
                return self, LayerCall(query, heads, (grid,))
            raise SamplingError(
                f"a layer of the model is called with {tokens} tokens, where {len(self.frames)} frames of {each} were "
                "expected, so that it cannot be known which frame they belong to: take out the node or engine that splits, "
                "merges or adds tokens, or the mask or Apply IP-Adapter"
            )
        plan = self.frame_plan((more, 0) if self.front else (0, more))
        return plan, LayerCall(query.reshape(batch * (len(self.frames) + more), each, width), heads, (grid,))


def video_plan(
    plan: ModelCallPlan, frames: tuple[int, ...], front: bool | None, remake: Callable[[BatchLayout], ModelCallPlan]
) -> VideoPlan:
    """A plan for rows of frames, with the plan of the frames ready where it will be wanted."""
    same = {one.name: getattr(plan, one.name) for one in fields(ModelCallPlan)}
    acting = [one.application for one in plan.prepared if one is not None]
    by_frame = any(one.masked or one.per_frame or one.strength.frames is not None for one in acting)
    made = VideoPlan(**same, frames=frames, front=front, by_frame=by_frame, remake=remake)
    if by_frame:
        made.frame_plan()
    return made


def video_frames(options: Options, latent_frames: int) -> tuple[int, ...]:
    """The frame of the video by which each latent frame goes: the first stands for one, each other for four, of which it is
    the second.

    ComfyUI's context windows show some of the latent frames, and may put one more, their anchor, before them.
    """
    shown = tuple(range(latent_frames))
    window = options.get("context_window")
    if window is not None and window.dim == TIME:
        anchor = getattr(window, "causal_anchor_index", None)
        listed = tuple(window.index_list) if anchor is None or anchor < 0 else (anchor, *window.index_list)
        shown = listed if len(listed) == latent_frames else shown
    return tuple(max(STRIDE * place - STRIDE // 2, 0) for place in shown)
