"""*Save IP-Adapter*."""

from comfy_api.latest import io, ui

from ..ipadapter_core.adapter.managed import ManagedAdapter
from ..ipadapter_core.adapter.save import FileDtype, save_adapter
from .checked import CheckedNode
from .folders import new_adapter_file
from .sockets import TRAINING, IPAdapterSocket


class SaveIPAdapter(CheckedNode):
    """Writes an adapter as a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreSaveAdapter",
            display_name="Save IP-Adapter",
            category=TRAINING,
            description="Writes an IP-Adapter to output/ipadapter, in the layout of the published files: Load IP-Adapter, "
            "diffusers and other node packs read it.",
            search_aliases=["save ipadapter", "export ip adapter", "ip adapter weights"],
            is_output_node=True,
            inputs=[
                IPAdapterSocket.Input("ip_adapter", tooltip="From Train IP-Adapter, or any other."),
                io.String.Input(
                    "filename_prefix",
                    default="my_ip_adapter",
                    tooltip="The file's name, below output/ipadapter; a number is added.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=FileDtype,
                    default=FileDtype.FP16,
                    tooltip="In which numbers the weights are written. fp16 is what published files have; fp32 loses nothing.",
                ),
                io.String.Input(
                    "license",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="The terms for those who get the file, in your words; kept in its metadata.",
                ),
            ],
            outputs=[io.String.Output("file", tooltip="The name under which Load IP-Adapter offers it.")],
        )

    @classmethod
    def execute(cls, ip_adapter: ManagedAdapter, filename_prefix: str, dtype: str, license: str = "") -> io.NodeOutput:
        """Writes a new file, whole or not at all."""
        name, path = new_adapter_file(filename_prefix)
        save_adapter(ip_adapter, path, FileDtype(dtype), {"license": license} if license else None)
        return io.NodeOutput(name, ui=ui.PreviewText(f"{name}\n{ip_adapter.spec.describe()}"))
