"""*Train IP-Adapter*."""

from collections.abc import Mapping, Sequence
from typing import Any

from comfy_api.latest import io, ui

from ..ipadapter_core.training.base_model import BaseSettings
from ..ipadapter_core.training.examples import DropoutRates
from ..ipadapter_core.training.objective import Weighting
from ..ipadapter_core.training.optimisers import OptimiserName
from ..ipadapter_core.training.precision import Precision
from ..ipadapter_core.training.schedule import RateCourse, Schedule
from ..ipadapter_core.training.train import TrainingSettings
from ..ipadapter_core.training.user_training import UserChoices, UserData, train_for_user
from .checked import CheckedNode
from .folders import training_file
from .sockets import TRAINING, IPAdapterSocket, LossSocket
from .train_inputs import further_settings, main_settings, socket_inputs


class TrainIPAdapter(CheckedNode):
    """Trains an adapter on a frozen model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreTrain",
            display_name="Train IP-Adapter",
            category=TRAINING,
            description="Trains a new or published IP-Adapter on your images while the model stays as it is. Cancelled, it "
            "keeps what it has learned, and goes on from there when it is run again with the same settings.",
            search_aliases=["finetune ip adapter", "fine-tune ipadapter", "train style", "ip adapter training"],
            is_input_list=True,
            inputs=[*socket_inputs(), *main_settings(), *further_settings()],
            outputs=[
                IPAdapterSocket.Output("ip_adapter", tooltip="The trained adapter; for Save and Apply IP-Adapter."),
                LossSocket.Output("loss", tooltip="The loss of each step; for Plot Loss Graph."),
                io.Image.Output(
                    "previews", tooltip="The first reference, and what was made of it every so many steps."
                ),
            ],
        )

    @classmethod
    def execute(cls, **inputs: Sequence[Any]) -> io.NodeOutput:
        """Trains; every input comes as a list."""
        given: dict[str, Any] = {name: values[0] if values else None for name, values in inputs.items()}
        prefix = given["filename_prefix"]
        made = train_for_user(
            given["model"], given["ip_adapter"], given["clip_vision"], _data(inputs, given), _choices(given),
            lambda identity: training_file(prefix, identity),
        )  # fmt: skip
        return io.NodeOutput(made.adapter, made.losses, made.previews, ui=ui.PreviewImage(made.previews, cls=cls))


def _data(inputs: Mapping[str, Sequence[Any]], given: Mapping[str, Any]) -> UserData:
    captions = [tuple(entry) for entries in inputs["positive"] for entry in entries]
    references = [one for one in inputs.get("references", ()) if one is not None]
    empty = given.get("empty_text")
    return UserData(inputs["latents"], captions, references, given.get("vae"), tuple(empty[0]) if empty else None)


def _choices(given: Mapping[str, Any]) -> UserChoices:
    schedule = Schedule(
        steps=given["steps"],
        learning_rate=given["learning_rate"],
        warm_up=given["warm_up"],
        average=given["average"],
        save_every=given["save_every"],
        course=RateCourse(given["schedule"]),
        accumulate=given["accumulate"],
        clip=given["max_gradient"],
        optimiser=OptimiserName(given["optimizer"]),
    )
    base = BaseSettings(Precision(given["precision"]), given["gradient_checkpointing"], given["offloading"])
    settings = TrainingSettings(schedule, base, Weighting(given["loss_weighting"]), given["seed"])
    drops = DropoutRates(given["drop_image"], given["drop_text"], given["drop_both"])
    return UserChoices(
        settings, given["batch_size"], drops, given["views"], given["preview_every"], given["preview_cfg"]
    )
