"""A pack that hands the network a batch in parts, one after the other, as engines do that have a GPU for each."""

import inspect
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from comfy.patcher_extension import WrappersMP


class RowSplit:
    """Shows the network these rows of each argument, part by part, as views of the batch or as copies, and puts its outputs
    back to where the rows were, or one after the other where they are not all there."""

    def __init__(
        self, parts: Sequence[Sequence[int]], copy: bool = False, change: Callable[[Tensor], Tensor] | None = None
    ):
        self.parts, self.copy, self.change, self.calls = parts, copy, change, 0

    def around(self, model):
        """A clone of a model with this splitter around its network."""
        split = model.clone()
        split.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, f"splitter {id(self)}", self)
        return split

    def __call__(self, executor, *args, **kwargs):
        bound = inspect.signature(executor.original).bind_partial(*args, **kwargs)
        given, batch = dict(bound.arguments), len(bound.arguments["x"])
        outputs = []
        for rows in self.parts:
            self.calls += 1
            bound.arguments.update({name: self._cut(one, rows, batch) for name, one in given.items()})
            outputs.append(executor(*bound.args, **bound.kwargs))
        order = [row for rows in self.parts for row in rows]
        joined = torch.cat(outputs)
        if sorted(order) != list(range(batch)):
            return joined
        return joined[torch.tensor(order).argsort()]

    def _cut(self, given, rows, batch):
        if isinstance(given, dict):
            return (
                {name: self._cut(one, rows, batch) for name, one in given.items()} if "patches" not in given else given
            )
        if not isinstance(given, Tensor) or not given.ndim or len(given) != batch:
            return given
        step = rows[1] - rows[0] if len(rows) > 1 else 1
        even = step > 0 and list(rows) == list(range(rows[0], rows[-1] + 1, step))
        part = given[rows[0] : rows[-1] + 1 : step] if even and not self.copy else given[list(rows)]
        return self.change(part) if self.change and part.ndim > 1 else part
