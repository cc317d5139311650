"""Images as they come through a socket: what is read, what is refused, and what the refusal says."""

import time

import numpy
import pytest
import torch
from pack.ipadapter_core.errors import InputError
from pack.ipadapter_core.images.transparency import GREY
from pack.ipadapter_core.inputs.images import read_images, read_opaque_images
from pack.ipadapter_core.limits import RANGE_SLACK
from pack.tools.time_bars import slowness, within
from torch import Tensor
from torch.nn.functional import interpolate

pytestmark = pytest.mark.inputs

WHERE = "image of Encode Reference Image"


def image(*shape: int) -> Tensor:
    """Seeded noise from 0 to 1."""
    return torch.rand(*(shape or (2, 8, 9, 3)), generator=torch.Generator().manual_seed(0))


def spoiled(value: float, channels: int = 3) -> Tensor:
    """An image with one value that should not be there."""
    made = image(1, 8, 8, channels)
    made[0, 3, 5, channels - 1] = value
    return made


REFUSED = {
    "NaN": (lambda: spoiled(float("nan")), r"\[1, 8, 8, 3\] and dtype float32 .*1 of them NaN or infinite"),
    "infinity": (lambda: spoiled(float("inf")), "NaN or infinite"),
    "minus infinity": (lambda: spoiled(float("-inf")), "NaN or infinite"),
    "NaN in the alpha": (lambda: spoiled(float("nan"), 4), "NaN or infinite"),
    "all NaN": (lambda: torch.full((1, 4, 4, 3), float("nan")), "48 of them NaN or infinite"),
    "0 to 255": (lambda: image() * 255, "values from 0.* to 25.*expected images .* from 0 to 1"),
    "-1 to 1": (lambda: image() * 2 - 1, "values from -0.9.* to 0.9"),
    "whole numbers": (lambda: (image() * 255).int(), "dtype int32 .* floating dtype"),
    "int8": (lambda: (image() * 100).to(torch.int8), "dtype int8"),
    "complex": (lambda: image().to(torch.complex64), "dtype complex64"),
    "no image": (lambda: image(0, 8, 8, 3), r"\[0, 8, 8, 3\].* empty, expected images .* at least one"),
    "no height": (lambda: image(1, 0, 8, 3), "empty"),
    "no channel": (lambda: image(1, 8, 8, 0), "empty"),
    "two channels": (lambda: image(1, 8, 8, 2), r"\[1, 8, 8, 2\].*1, 3 or 4 channels"),
    "five channels": (lambda: image(1, 8, 8, 5), "1, 3 or 4 channels"),
    "channels first": (lambda: image(1, 3, 8, 8), r"\[1, 3, 8, 8\].*channels come first here"),
    "five dimensions": (lambda: image(1, 2, 8, 8, 3), r"\[1, 2, 8, 8, 3\].*frames as one batch"),
    "no batch": (lambda: image(8, 8, 3), "one dimension is missing"),
    "a number": (lambda: torch.tensor(1.0), r"\[\]"),
    "sparse": (lambda: image().to_sparse(), "sparse"),
    "without memory": (lambda: image().to("meta"), "without memory"),
    "numpy": (lambda: numpy.zeros((1, 8, 8, 3), numpy.float32), "ndarray instead of a tensor"),
    "a list": (lambda: [image()], "list instead of a tensor"),
    "a dictionary of latents": (lambda: {"samples": image()}, "dict instead of a tensor"),
    "larger than memory": (lambda: torch.zeros(1, 1, 1, 1).expand(1, 100_000, 100_000, 3), r"100000, 100000"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_is_refused_in_one_sentence(name):
    """Found shape, dtype and range, expected ones, and the input; in less than a second."""
    make, found = REFUSED[name]
    value = make()
    with within(1), pytest.raises(InputError, match=found) as refused:
        read_images(value, WHERE)
    message = str(refused.value)
    assert message.startswith(f"{WHERE}: found ") and "expected" in message
    assert len(message) < 400 and "\n" not in message


@pytest.mark.parametrize("channels", (3, 4))
def test_an_image_that_is_right_comes_back_itself(channels):
    """Not a copy: what is cached by identity stays cached."""
    given = image(2, 8, 9, channels)
    assert read_images(given, WHERE).data_ptr() == given.data_ptr()
    assert torch.equal(read_images(given, WHERE), given)


def test_grey_becomes_three_channels():
    """Each of them the grey one."""
    grey = image(2, 8, 9, 1)
    assert torch.equal(read_images(grey, WHERE), torch.cat((grey, grey, grey), dim=-1))


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn))
def test_every_floating_dtype_is_read(dtype):
    """As float32, with the values that it has."""
    given = image().to(dtype)
    assert torch.equal(read_images(given, WHERE), given.float()) and read_images(given, WHERE).dtype is torch.float32


def test_bytes_are_scaled_as_load_image_scales_them():
    """To the bit."""
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(-1, -1, -1, 3)
    loaded = torch.from_numpy(levels.numpy().astype(numpy.float32) / 255.0)
    assert torch.equal(read_images(levels, WHERE), loaded)


def test_what_resizing_leaves_outside_is_clipped():
    """Bicubic resizing of the worst image between 0 and 1 stays within the slack, and is read as its clipped self."""
    worst = torch.zeros(1, 1, 32, 32)
    worst[..., 1::3, :] = 1
    worst[..., :, 1::3] = 1
    for one in (worst, 1 - worst, (image(1, 1, 32, 32) > 0.5).float()):
        resized = interpolate(one, size=(101, 101), mode="bicubic").movedim(1, -1).expand(-1, -1, -1, 3)
        assert float(resized.min()) < 0 or float(resized.max()) > 1
        assert float(resized.min()) > -RANGE_SLACK and float(resized.max()) < 1 + RANGE_SLACK
        assert torch.equal(read_images(resized, WHERE), resized.clamp(0, 1))


def test_the_slack_covers_every_bicubic_resizing():
    """The weights of torch's kernel (a = -3/4) at any phase: the least and the greatest that 0..1 can become."""
    a, phases = -0.75, torch.linspace(0, 1, 1001, dtype=torch.float64)

    def near(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    weights = torch.stack((far(phases + 1), near(phases), near(1 - phases), far(2 - phases)))
    below, above = float(weights.clamp(max=0).sum(0).min()), float(weights.clamp(min=0).sum(0).max())
    assert RANGE_SLACK - 0.1 < -2 * below * above < RANGE_SLACK
    assert RANGE_SLACK - 0.1 < above**2 + below**2 - 1 < RANGE_SLACK


def test_alpha_is_kept_or_laid_on_grey():
    """Opaque parts are the image, transparent ones grey whatever lies below them, and half is half."""
    given = image(1, 8, 8, 4)
    given[0, :, :4, 3], given[0, :, 4:, 3] = 0, 1
    given[0, 0, 0, 3] = 0.5
    assert torch.equal(read_images(given, WHERE), given)
    opaque = read_opaque_images(given, WHERE)
    grey = torch.tensor(GREY)
    assert torch.equal(opaque[:, :, 4:], given[:, :, 4:, :3])
    assert torch.equal(opaque[0, 1:, :4], grey.expand(7, 4, 3))
    assert torch.allclose(opaque[0, 0, 0], (given[0, 0, 0, :3] + grey) / 2)


def test_gradients_end_here():
    """Nothing of ours is trained through a socket."""
    assert not read_images(image().requires_grad_(), WHERE).requires_grad


LAYOUTS = {
    "channels last": lambda: image(1, 1024, 1024, 3),
    "channels in planes, as decoders leave them": lambda: image(1, 3, 1024, 1024).movedim(1, -1),
    "grey made three": lambda: image(1, 1024, 1024, 1).expand(-1, -1, -1, 3),
    "a view of alpha": lambda: image(1, 1024, 1024, 4),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_check_costs_less_than_a_millisecond(layout):
    """At 1024 x 1024, on one core, the best of a hundred; without a copy in the memory."""
    given = LAYOUTS[layout]()
    times = []
    for _ in range(100):
        start = time.thread_time()
        read_images(given, WHERE)
        times.append(time.thread_time() - start)
    print(f"\n  {layout}: {min(times) * 1e3:.2f} ms")
    assert min(times) < 1e-3 * slowness()
