"""The inputs of *Train IP-Adapter*."""

from collections.abc import Sequence

from comfy_api.latest import io

from ..ipadapter_core.limits import TRAINING_STEPS, VIEWS
from ..ipadapter_core.training.objective import Weighting
from ..ipadapter_core.training.optimisers import OptimiserName
from ..ipadapter_core.training.precision import Precision
from ..ipadapter_core.training.schedule import RateCourse
from .socket_readers import SEEDS
from .sockets import IPAdapterSocket


def socket_inputs() -> Sequence[io.Input]:
    """What is connected."""
    return (
        io.Model.Input("model", tooltip="The model to train for; it is not changed."),
        IPAdapterSocket.Input("ip_adapter", tooltip="From New IP-Adapter, or a published one to be tuned."),
        io.ClipVision.Input("clip_vision", tooltip="The image encoder that the adapter reads."),
        io.Latent.Input(
            "latents", tooltip="The training's images as latents, from Make Training Dataset or VAE Encode."
        ),
        io.Conditioning.Input("positive", tooltip="A caption for each image, in the same order, or one for all."),
        io.Image.Input(
            "references",
            optional=True,
            tooltip="What the adapter sees of each image, in the same order: as a rule the images themselves. Without any, "
            "vae decodes the latents; do so behind Resolution Bucket, which changes the order.",
        ),
        io.Vae.Input("vae", optional=True, tooltip="Decodes previews, and the references where none are connected."),
        io.Conditioning.Input(
            "empty_text",
            optional=True,
            tooltip="The conditioning of an empty prompt, for dropped captions; else zeros.",
        ),
    )


def _number(name: str, default: int, least: int, most: int, tooltip: str, advanced: bool = False) -> io.Input:
    return io.Int.Input(name, default=default, min=least, max=most, tooltip=tooltip, advanced=advanced)


def _share(name: str, default: float, most: float, step: float, tooltip: str) -> io.Input:
    return io.Float.Input(name, default=default, min=0.0, max=most, step=step, tooltip=tooltip, advanced=True)


def main_settings() -> Sequence[io.Input]:
    """What most people change."""
    return (
        _number("steps", 1000, 1, TRAINING_STEPS, "How often the adapter is changed."),
        _number("batch_size", 1, 1, 4096, "Images in each batch; more need more memory and learn more steadily."),
        io.Float.Input(
            "learning_rate",
            default=1e-4,
            min=0.0,
            max=1.0,
            step=1e-7,
            tooltip="How far each step goes: 1e-4 for a new adapter, 1e-5 to tune a published one.",
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=SEEDS - 1,
            tooltip="For the order of images, noise, drops and the references' crops.",
        ),
        _number("preview_every", 0, 0, TRAINING_STEPS, "Makes an image every so many steps, with vae; 0 makes none."),
        io.String.Input(
            "filename_prefix",
            default="training",
            tooltip="The checkpoint's name, below output/ipadapter_training; what the training depends on is added.",
        ),
    )


def _computing() -> Sequence[io.Input]:
    """How the machine is used."""
    return (
        io.Combo.Input(
            "precision",
            options=Precision,
            default=Precision.BF16,
            advanced=True,
            tooltip="What the model computes in. The adapter learns in fp32 either way.",
        ),
        io.Boolean.Input(
            "gradient_checkpointing",
            default=True,
            advanced=True,
            tooltip="Blocks compute twice and keep little: a third slower, with a fraction of the memory.",
        ),
        io.Boolean.Input(
            "offloading",
            default=False,
            advanced=True,
            tooltip="Keeps the model's weights in main memory and brings each block over when it is needed: slow, for large "
            "models.",
        ),
    )


def further_settings() -> Sequence[io.Input]:
    """What is folded away."""
    return (
        *_learning(),
        _share("drop_text", 0.05, 0.5, 0.01, "Share of the examples that lose their caption, so that CFG works."),
        _share("drop_image", 0.05, 0.5, 0.01, "Share of the examples that lose their reference."),
        _share("drop_both", 0.05, 0.5, 0.01, "Share of the examples that lose both."),
        *_computing(),
        _share(
            "average",
            0.998,
            0.99999,
            0.0001,
            "How much of the running average of the weights each step keeps: the result.",
        ),
        _share("max_gradient", 1.0, 1000.0, 0.1, "The longest gradient that is let through; 0 lets any."),
        _number(
            "views", 4, 1, VIEWS, "Crops of each reference, encoded beforehand, so that pixels cannot be copied.", True
        ),
        io.Float.Input(
            "preview_cfg", default=4.0, min=1.0, max=30.0, step=0.1, advanced=True, tooltip="The CFG of previews."
        ),
        _number("save_every", 100, 1, TRAINING_STEPS, "Steps between two checkpoints.", True),
    )


def _learning() -> Sequence[io.Input]:
    """How large a step is, and what it is taken by."""
    return (
        _number("accumulate", 1, 1, 1024, "Batches that make one step: as good as a larger batch, and as slow.", True),
        io.Combo.Input(
            "schedule",
            options=RateCourse,
            default=RateCourse.HOLD_AND_FALL,
            advanced=True,
            tooltip="How the learning rate goes after it has warmed up.",
        ),
        _number("warm_up", 50, 0, TRAINING_STEPS, "Steps over which the learning rate rises.", True),
        io.Combo.Input(
            "optimizer",
            options=OptimiserName,
            default=OptimiserName.ADAMW,
            advanced=True,
            tooltip="What turns gradients into changes. The 8-bit one needs bitsandbytes and half the memory.",
        ),
        io.Combo.Input(
            "loss_weighting",
            options=Weighting,
            default=Weighting.DENOISED,
            advanced=True,
            tooltip="What the error is measured in: the first lets strong noise count most, the second all noise alike.",
        ),
    )
