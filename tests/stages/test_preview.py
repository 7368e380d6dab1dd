from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wellfit.data.store import load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.settings.params import load_params
from wellfit.stages.preview import DRAWS, SAMPLES, image_rows, preview

SHIPPED = Path(__file__).parents[2] / "params.yaml"


@pytest.mark.usefixtures("drawn")
def test_it_draws_a_picture_the_same_each_time(prepared: Path, tmp_path: Path) -> None:
    for file, seed in (("one.png", 0), ("again.png", 0), ("other.png", 1)):
        params = load_params(SHIPPED, ["data.augment=strong", f"train.seed={seed}"])
        preview(params, prepared / "digits", tmp_path / "reports" / file)
    one, again, other = ((tmp_path / "reports" / file).read_bytes() for file in ("one.png", "again.png", "other.png"))
    assert one == again != other
    with Image.open(tmp_path / "reports" / "one.png") as picture:
        assert picture.width > 800
        assert picture.height > 600


def test_the_first_column_shows_training_images_of_different_classes(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr("wellfit.stages.preview.image_rows", lambda *args: drawn.append(args) or image_rows(*args))
    preview(load_params(SHIPPED, ["data.augment=[{rotate: 20}, {crop: 2}]"]), prepared / "digits", tmp_path / "p.png")
    ((images, names, title),) = drawn
    meta = load_meta(prepared / "digits")
    train = load_split(prepared / "digits", meta, "train")
    assert images.shape == (SAMPLES, 1 + DRAWS, 1, 8, 8)
    assert names == list(meta.class_names[:SAMPLES])
    for row in range(SAMPLES):
        np.testing.assert_array_equal(images[row, 0], train.x[np.flatnonzero(train.y == row)[0]])
        assert len(np.unique(images[row].reshape(1 + DRAWS, -1), axis=0)) == 1 + DRAWS
    assert title == "digits with data.augment a list of operations\nrotate 20, crop 2"


def test_the_title_says_a_presets_ranges(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = []
    monkeypatch.setattr("wellfit.stages.preview.image_rows", lambda *args: titles.append(args[2]) or image_rows(*args))
    preview(load_params(SHIPPED, ["data.augment=light"]), prepared / "digits", tmp_path / "p.png")
    assert titles[0].startswith(
        "digits with data.augment light\nrotate 10, shift 0.05, zoom 0.9 to 1.1, colour (bright"
    )


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_row_for_each_sample_with_its_name(channels: int) -> None:
    images = np.random.default_rng(0).uniform(0, 200, (2, 3, channels, 6, 9)).astype(np.float32)
    figure = image_rows(images, ["a $dear$ name", "b"], "title")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [r"a \$dear\$ name", "b"]
    pictures = axes.get_images()
    assert len(pictures) == 6
    left, right, bottom, top = pictures[4].get_extent()
    assert (left, right, bottom, top) == pytest.approx((1, 2, 2, 1), abs=0.05)
    shown = pictures[4].get_array()
    expected = images[1, 1].transpose(1, 2, 0) / images[:, 0].max()
    np.testing.assert_allclose(shown, np.clip(expected if channels == 3 else expected[:, :, 0], 0, 1))


def test_images_without_anything_in_them_can_be_drawn() -> None:
    image_rows(np.zeros((1, 2, 1, 4, 4), np.float32), ["a"], "title")


def test_none_leaves_nothing_to_show(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(WellfitError, match=r"^data\.augment none leaves .*--set data\.augment=light$"):
        preview(load_params(SHIPPED), prepared / "digits", tmp_path / "p.png")
    assert not (tmp_path / "p.png").exists()


def test_a_table_has_no_images(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(WellfitError, match=r"^data\.name moons is a table"):
        preview(load_params(SHIPPED, ["data.name=moons"]), prepared / "moons", tmp_path / "p.png")
