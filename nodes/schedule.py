"""*Weight Schedule*."""

from comfy_api.latest import io, ui

from ..ipadapter_core.drawing.weight_plots import plot_schedule
from ..ipadapter_core.inputs.curves import Curve
from ..ipadapter_core.weights.parsing import read_schedule
from ..ipadapter_core.weights.schedule import SchedulePreset, preset_schedule, schedule_of_curve
from .checked import CheckedNode
from .socket_readers import CURVE
from .sockets import CATEGORY, WeightScheduleSocket

# io.Curve is a widget, which would always have a value, and is newer than what we ask for
CurveSocket = io.Custom(CURVE)


class WeightScheduleNode(CheckedNode):
    """Changes the weight over the run."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreWeightSchedule",
            display_name="Weight Schedule",
            category=CATEGORY,
            description="Multiplies the weight of Apply IP-Adapter by a curve over the run, and shows the curve.",
            search_aliases=["weight curve", "ease in", "ease out", "scheduled weight", "ip adapter"],
            inputs=[
                io.Combo.Input(
                    "preset",
                    options=SchedulePreset,
                    default=SchedulePreset.EASE_OUT,
                    tooltip="Early weight decides layout and large shapes, late weight decides texture and detail.",
                ),
                io.String.Input(
                    "points",
                    default="",
                    tooltip="Your own curve instead of the preset: places in the run and multipliers, '0: 0, 0.5: 1, 1: 0.3'.",
                ),
                CurveSocket.Input(
                    "curve",
                    optional=True,
                    extra_dict={"forceInput": True},
                    tooltip="A curve from Curve Editor instead of preset and points.",
                ),
            ],
            outputs=[WeightScheduleSocket.Output("weight_schedule", tooltip="For Apply IP-Adapter.")],
        )

    @classmethod
    def execute(cls, preset: str, points: str, curve: Curve | None = None) -> io.NodeOutput:
        """The curve wins over the points, the points over the preset."""
        if curve is not None:
            schedule = schedule_of_curve(curve.interp, [place for place, _ in curve.points])
        else:
            schedule = read_schedule(points) if points.strip() else preset_schedule(SchedulePreset(preset))
        return io.NodeOutput(schedule, ui=ui.PreviewImage(plot_schedule(schedule), cls=cls))
