"""Small workflows with images and masks that are not what they seem, run as ComfyUI runs them."""

import logging
from types import SimpleNamespace

import pytest
import torch
from pack.ipadapter_core.errors import InputError
from pack.nodes.folders import register_folders
from pack.tools.miniature.executing import Step, execute
from pack.tools.miniature.files import Workshop, workshop
from pack.tools.time_bars import within
from torch import Tensor

import folder_paths

pytestmark = pytest.mark.inputs

register_folders()


@pytest.fixture
def shop(tmp_path):
    """Files in a folder of their own, output folder included."""
    output = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    with workshop(tmp_path) as made:
        yield made
    folder_paths.set_output_directory(output)


def noise(*shape: int) -> Tensor:
    """Seeded, from 0 to 1."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def features(prompt) -> Tensor:
    """Of all references."""
    return torch.cat([one.image.features for one in prompt.references])


def faces_of_nobody():
    """A face analysis that finds none."""
    return SimpleNamespace(det_model=SimpleNamespace(input_size=(640, 640)), get=lambda _: [])


LAYOUTS = {"(H, W)": lambda mask: mask, "(1, H, W)": lambda mask: mask[None], "(1, 1, H, W)": lambda mask: mask[None, None],
           "(1, H, W, 1)": lambda mask: mask[None, ..., None]}  # fmt: skip


@pytest.mark.parametrize("node", ("IPAdapterCoreEncode", "IPAdapterCoreEncodeTiled", "IPAdapterCoreEncodeDetailed"))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_mask_of_any_layout_hides_the_same(shop: Workshop, node, layout):
    """In every encode node, as in Apply IP-Adapter."""
    mask = (noise(20, 30) > 0.5).float()
    given = {"ip_adapter": shop.adapter(), "image": shop.picture(), "clip_vision": shop.encoder()}
    more = {"IPAdapterCoreEncode": {"fit": "stretch"}, "IPAdapterCoreEncodeTiled": {"tiles": 2},
            "IPAdapterCoreEncodeDetailed": {"fit": "stretch", "tiles": 2, "detail": 0.5}}[node]  # fmt: skip
    plain, masked, shaped = (
        features(Step(node, given | more | ({} if one is None else {"mask": one})).value())
        for one in (None, mask[None], LAYOUTS[layout](mask))
    )
    assert torch.equal(masked, shaped) and not torch.equal(plain, masked)


def test_grey_images_are_images_in_every_node(shop: Workshop):
    """One channel gives what three equal ones give: Encode, Encode Face, Score, grid, noise, old nodes."""
    grey = noise(1, 64, 64, 1)
    colours = grey.expand(-1, -1, -1, 3).contiguous()
    adapter, encoder = shop.adapter(), shop.encoder()
    sweep = execute("IPAdapterCoreSweep", model=shop.checkpoint().value(), ip_adapter=adapter.value(),
                    image_prompt=shop.encoded(adapter).value(), weights="1", presets="linear", start_percent=0.0,
                    end_percent=1.0).result[1]  # fmt: skip
    face_adapter = shop.face_adapter("faceid.safetensors", "FaceID").value()
    face = {"ip_adapter": face_adapter, "insightface": faces_of_nobody(), "pick": "largest", "index": 0, "structure": 1.0,
            "no_face": "skip", "several": "concatenate", "plus_version": "auto"}  # fmt: skip

    def all_of(image: Tensor) -> list[Tensor]:
        encoded = shop.encoded(adapter, image=image, clip_vision=encoder).value()
        return [
            features(encoded),
            execute("IPAdapterCoreEncodeFace", image=image, **face).result[1],
            execute("IPAdapterCoreScore", images=[image], prompt=[""], references=[image]).result[2],
            execute(
                "IPAdapterCoreGrid", images=[image], sweep=[sweep], tile=[64], pictures=[1], references=[image]
            ).result[0],
            execute("IPAdapterCoreNoise", type="fade", strength=0.5, blur=0, seed=1, image=image).result[0],
            execute("IPAdapterNoise", type="fade", strength=0.5, blur=0, image_optional=image).result[0],
            execute(
                "PrepImageForClipVision", image=image, interpolation="LANCZOS", crop_position="center", sharpening=0.0
            ).result[0],
        ]

    for one, three in zip(all_of(grey), all_of(colours), strict=True):
        assert torch.equal(one, three)


def test_a_black_mask_is_said_once(shop: Workshop, caplog):
    """In the log and on the node; Load Image gives one when nothing was drawn. A mask with one white pixel is silent."""
    adapter = shop.adapter()
    given = {"model": shop.checkpoint().value(), "ip_adapter": adapter.value(), "image_prompt": shop.encoded(adapter).value(),
             "weight": 1.0, "start_percent": 0.0, "end_percent": 1.0}  # fmt: skip
    spot = torch.zeros(1, 64, 64)
    spot[0, 0, 0] = 1
    with caplog.at_level(logging.WARNING):
        silent = execute("IPAdapterCoreApply", mask=spot, **given)
        said = [execute("IPAdapterCoreApply", mask=torch.zeros(1, 64, 64), **given) for _ in range(2)]
    lines = [record.message for record in caplog.records if "black everywhere" in record.message]
    assert len(lines) == 1 and "mask of Apply IP-Adapter" in lines[0] and "leave mask unconnected" in lines[0]
    assert silent.ui is None and all("black everywhere" in one.ui.as_dict()["text"][0] for one in said)


def test_a_black_mask_of_a_region_is_said(shop: Workshop, caplog):
    """Inside a dynamic choice, too."""
    prompt = shop.encoded(shop.adapter()).value()
    region = {"regions.image_prompt_1": prompt, "regions.mask_1": torch.zeros(1, 8, 8), "regions.weight_1": 1.0}
    with caplog.at_level(logging.WARNING):
        execute("IPAdapterCoreRegions", regions="1", **region)
    assert any("mask_1 of Regional Image Prompts is black everywhere" in record.message for record in caplog.records)


def test_noise_of_nan_is_refused():
    """It was 'cannot convert float NaN to integer'."""
    for node, name in (("IPAdapterCoreNoise", "image"), ("IPAdapterNoise", "image_optional")):
        with pytest.raises(InputError, match=f"^{name} of .*NaN"):
            execute(node, type="fade", strength=0.5, blur=0, **({"seed": 0} if name == "image" else {}),
                    **{name: torch.full((1, 8, 8, 3), float("nan"))})  # fmt: skip


def test_tiles_of_one_row_end_at_once(shop: Workshop):
    """4 tiles on 1 x 4096 took all memory, 0 tiles 97 seconds."""
    given = {"ip_adapter": shop.adapter().value(), "clip_vision": shop.encoder().value(), "image": noise(1, 1, 4096, 3)}
    for tiles in (0, 4):
        with within(1), pytest.raises(InputError, match="4096 x 1"):
            execute("IPAdapterCoreEncodeTiled", tiles=tiles, **given)


SPOILED = ("../../prompt", "a/" * 1000 + "b", "a" * 300, "a\0b", "a\ud800", "/prompt")


@pytest.mark.parametrize("name", SPOILED, ids=range(len(SPOILED)))
def test_prompts_are_saved_below_the_output_folder_or_not_at_all(shop: Workshop, tmp_path, name):
    """Nothing is made by a name that is refused."""
    prompt = shop.encoded(shop.adapter()).value()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="^filename_prefix of Save Image Prompt"):
        execute("IPAdapterCoreSave", image_prompt=prompt, filename_prefix=name)
    with pytest.raises(InputError, match="^filename_prefix of IPAdapter Save Embeds"):
        execute("IPAdapterSaveEmbeds", embeds=features(prompt), filename_prefix=name)
    assert sorted(tmp_path.rglob("*")) == before


def test_notes_are_written_or_refused(shop: Workshop):
    """Half a surrogate cannot be in a file; every other text can."""
    prompt = shop.encoded(shop.adapter()).value()
    with pytest.raises(InputError, match="^note of Save Image Prompt"):
        execute("IPAdapterCoreSave", image_prompt=prompt, filename_prefix="a", note="\ud800")
    assert (
        execute("IPAdapterCoreSave", image_prompt=prompt, filename_prefix="a", note="猫 \n\t ü")
        .result[0]
        .startswith("a_")
    )


@pytest.mark.parametrize(
    ("node", "given"),
    (
        ("IPAdapterCoreFrameWeights", {"weights": "1e308, -1e308", "timing": "linear", "frames": 4}),
        ("IPAdapterCoreLayerWeights", {"preset": "linear", "blocks": "input 4: 1e308"}),
        ("IPAdapterCoreWeightSchedule", {"preset": "late", "points": "0: 1e308"}),
        ("IPAdapterCoreSweep", {"weights": "1e308", "presets": "linear"}),
    ),
)
def test_plots_of_absurd_weights_end_in_a_sentence(node, given):
    """It was an overflow inside Pillow."""
    more = {"model": None, "ip_adapter": None, "image_prompt": None, "start_percent": 0.0, "end_percent": 1.0}
    with pytest.raises(
        Exception, match="found '(-)?1e308', expected a number .* from -1000 to 1000|multipliers"
    ) as error:
        execute(node, **given, **(more if node == "IPAdapterCoreSweep" else {}))
    assert type(error.value).__name__ == "WeightError"
