"""*Load IP-Adapter*."""

from comfy_api.latest import io, ui

from ..ipadapter_core.adapter.load import load_adapter
from .checked import CheckedNode
from .folders import AUTO, adapter_files, adapter_path, adapter_problem, resampler_files, resampler_path
from .sockets import CATEGORY, IPAdapterSocket
from .telling import adapters_told


class LoadIPAdapter(CheckedNode):
    """Reads an adapter file and says what it found."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreLoad",
            display_name="Load IP-Adapter",
            category=CATEGORY,
            description="Loads an IP-Adapter. What the file is for is read from the file itself, whatever its name.",
            search_aliases=["ip adapter", "ipadapter", "image prompt", "reference image", "style transfer", "lynx"],
            inputs=[
                io.Combo.Input(
                    "ip_adapter_name",
                    options=adapter_files(),
                    extra_dict={"told": adapters_told()},
                    tooltip="A file in models/ipadapter. The node shows which model and which image encoder it is for.",
                ),
                io.Combo.Input(
                    "resampler_name",
                    options=[AUTO, *resampler_files()],
                    default=AUTO,
                    optional=True,
                    advanced=True,
                    tooltip="Only for adapters in two files (Lynx): the second one, which makes the image tokens. auto takes "
                    "the file in models/ipadapter that fits, one in the same folder first.",
                ),
            ],
            outputs=[IPAdapterSocket.Output("ip_adapter", tooltip="For Encode Reference Image and Apply IP-Adapter.")],
        )

    @classmethod
    def validate_inputs(cls, ip_adapter_name: str | None) -> bool | str:
        """Says what a file is that is no adapter, and which node takes it; both systems' separators will do."""
        return adapter_problem(ip_adapter_name) or True

    @classmethod
    def execute(cls, ip_adapter_name: str, resampler_name: str = AUTO) -> io.NodeOutput:
        """Loads one file or two."""
        adapter = load_adapter(str(adapter_path(ip_adapter_name)), resampler_path(ip_adapter_name, resampler_name))
        return io.NodeOutput(adapter, ui=ui.PreviewText(adapter.spec.describe()))
