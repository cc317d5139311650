"""Arithmetic of which a row's result does not depend on how many rows are computed with it.

Libraries of matrix products choose another order of summation for another batch, so that a model's own outputs differ in
their last bits. Under this mode each row is multiplied by itself, and what is equal in mathematics is equal to the bit.
"""

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

SHARED = {functional.linear, torch.conv1d, torch.conv2d, torch.conv3d}  # one weight for all rows
PAIRED = {torch.bmm, Tensor.bmm, torch.baddbmm, torch.matmul, Tensor.matmul, Tensor.__matmul__,
          functional.scaled_dot_product_attention}  # fmt: skip


class RowByRow(TorchFunctionMode):
    """Products row by row, for the time of a `with`."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, given = kwargs or {}, [one for one in args if isinstance(one, Tensor)]
        if function not in SHARED | PAIRED:
            return function(*args, **kwargs)
        rows = len(given[0]) if function in SHARED else max(len(one) for one in given)
        cut = given[:1] if function in SHARED else [one for one in given if one.ndim > 2 and len(one) == rows]
        alone = all(len(one) == 1 or any(one is other for other in cut) for one in given)
        if rows == 1 or given[0].ndim < 2 or (function in PAIRED and not alone):
            return function(*args, **kwargs)

        def part(number, one):
            return one[number : number + 1] if any(one is other for other in cut) else one

        return torch.cat([function(*(part(number, one) for one in args), **kwargs) for number in range(rows)])
