"""What a class rests on: LayerCAM, and the pictures of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nanonas import predict
from nanonas.core.errors import RunError
from nanonas.models.heatmap import chosen_maps, layer_cam, overlay, safe_name
from nanonas.networks.layers import Conv, Linear, relu
from nanonas.networks.network import ChainNetwork


def network(pools: int = 0) -> ChainNetwork:
    """Class 0 is red, class 1 is green: a 1×1 convolution, and as many that halve the image."""
    blocks = [[Conv(2, 2, 1), relu()], *([Conv(2, 2, 3, stride=2), relu()] for _ in range(pools))]
    found = ChainNetwork(blocks, Linear(2, 2), 0.0).eval()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.zero_()
        for block in found.blocks:
            weight = block[0].weight
            for channel in range(2):
                weight[channel, channel] = 1.0
        found.head.weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    return found


def spots() -> torch.Tensor:
    """Red at the top left, green at the bottom right."""
    images = torch.zeros(1, 2, 32, 32)
    images[0, 0, 4:8, 4:8] = 1.0
    images[0, 1, 24:28, 24:28] = 1.0
    return images


@pytest.mark.parametrize("pools", [0, 1, 2, 3])
@pytest.mark.parametrize(("label", "place", "other"), [(0, (5, 5), (25, 25)), (1, (25, 25), (5, 5))])
def test_the_heat_lies_where_the_evidence_for_the_class_is(
    pools: int, label: int, place: tuple[int, int], other: tuple[int, int]
) -> None:
    (heat,) = layer_cam(network(pools), spots(), torch.tensor([label]))
    assert heat.shape == (32, 32)
    assert 0.5 < heat[place] <= heat.max() <= 1
    assert heat[other] == 0


@pytest.mark.parametrize(("side", "used"), [(64, [16]), (32, [8, 16]), (16, [4, 8]), (4, [1, 2])])
def test_where_the_last_map_is_small_an_earlier_one_is_added(side: int, used: list[int]) -> None:
    blocks = network(2).blocks
    maps = [torch.zeros(1, 2, side, side)]
    for block in blocks:
        maps.append(block(maps[-1]))
    assert [found.shape[2] for found in chosen_maps(maps[1:])] == used


def test_an_image_without_evidence_is_cold() -> None:
    heat = layer_cam(network(2), torch.zeros(3, 2, 32, 32), torch.tensor([0, 1, 0]))
    assert heat.shape == (3, 32, 32)
    assert (heat == 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_an_overlay_is_the_picture_where_it_is_cold(channels: int) -> None:
    pixels = np.full((40, 60, channels), 77, np.uint8)
    heat = np.zeros((8, 12), np.float32)
    heat[0, 0] = 1.0
    drawn = np.asarray(overlay(pixels, heat))
    assert drawn.shape == (40, 60, 3)
    assert (drawn[20:, 20:] == 77).all()
    assert drawn[0, 0, 0] > 150 and drawn[0, 0, 2] < 77


def test_every_image_has_a_heatmap_under_a_safe_name(exported_run: Path, tmp_path: Path) -> None:
    names = ["a.png", "a.jpg", "ä ö.png", "b\n.png", "-'\".png", "x" * 200 + ".png", "broken.png", "l\udcff.png"]
    (tmp_path / "in").mkdir()
    for name in names:
        image = Image.new("L", (50, 20), 90)
        image.save(tmp_path / "in" / name, format="JPEG" if name.endswith("jpg") else "PNG")
    (tmp_path / "in" / "broken.png").write_bytes(b"x")
    found = list(predict(exported_run, [tmp_path / "in"], heatmap=tmp_path / "heat" / "deep"))
    drawn = sorted((tmp_path / "heat" / "deep").iterdir())
    expected = [f"{i:05}-{safe_name(one.path)}.png" for i, one in enumerate(found, 1) if not one.error]
    assert [path.name for path in drawn] == expected
    assert len(drawn) == len(names) - 1
    assert all(path.name.replace("ä", "a").replace("ö", "o").isascii() for path in drawn)
    for path in drawn:
        with Image.open(path) as image:
            assert image.size == (448, 448)  # of 8×8, squashed as the network was shown it


def test_heatmaps_go_into_no_folder_of_other_files(exported_run: Path, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "mine.png")
    with pytest.raises(RunError, match=r"holds mine\.png, which is no heatmap"):
        next(predict(exported_run, [tmp_path], heatmap=tmp_path))
    for _ in range(2):  # the same command again
        next(predict(exported_run, [tmp_path], heatmap=tmp_path / "heat"))
    with pytest.raises(RunError, match="no gradients; name its run directory"):
        next(predict(exported_run / "exports" / "model.onnx", [tmp_path / "mine.png"], heatmap=tmp_path / "heat"))
