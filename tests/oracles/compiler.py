"""ComfyUI's torch.compile with a backend that counts the programs that it is given."""

from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras.nodes_torch_compile import skip_torch_compile_dict


class Compiler:
    """ComfyUI's TorchCompileModel with a backend that counts programs and runs them as they are."""

    def __init__(self, backend=None, filtered: bool = True):
        self.programs = 0
        self.inner = backend
        self.options = {"guard_filter_fn": skip_torch_compile_dict} if filtered else None

    def __call__(self, graph, inputs, **_):
        self.programs += 1
        return self.inner(graph, inputs) if self.inner else graph.forward

    def apply(self, model):
        """What the node does, but without allowing any graph break."""
        clone = model.clone(disable_dynamic=True)
        set_torch_compile_wrapper(model=clone, backend=self, options=self.options, fullgraph=True)
        return clone
