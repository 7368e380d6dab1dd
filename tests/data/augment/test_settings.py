from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from wellfit.data.augment.settings import PRESETS, Operations, operations
from wellfit.errors import WellfitError
from wellfit.settings.params import Params, load_params

SHIPPED = Path(__file__).parents[3] / "params.yaml"


def load(value: str, *more: str) -> Params:
    return load_params(SHIPPED, [f"data.augment={value}", *more])


def mistake(value: str, *more: str) -> str:
    with pytest.raises(WellfitError) as caught:
        load(value, *more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def of(value: str) -> dict[str, Any]:
    """The operations that a value stands for."""
    return operations(load(value).data.augment).model_dump(exclude_none=True)


EVERY_OPERATION = (
    "[{rotate: 15}, {shift: 0.1}, {zoom: [0.9, 1.1]}, {shear: 10}, {flip_horizontal: 0.5}, {flip_vertical: 0.25}, "
    "{crop: 4}, {erase: {probability: 0.5, area: [0.02, 0.2]}}, "
    "{colour: {brightness: 0.2, contrast: 0.3, saturation: 0.4, hue: 0.05}}]"
)


def test_a_list_says_each_operation_and_its_range() -> None:
    assert of(EVERY_OPERATION) == {
        "rotate": 15.0,
        "shift": 0.1,
        "zoom": (0.9, 1.1),
        "shear": 10.0,
        "flip_horizontal": 0.5,
        "flip_vertical": 0.25,
        "crop": 4,
        "erase": {"probability": 0.5, "area": (0.02, 0.2)},
        "colour": {"brightness": 0.2, "contrast": 0.3, "saturation": 0.4, "hue": 0.05},
    }


def test_none_does_nothing() -> None:
    assert of("none") == {}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_list_that_stands_in_the_source(name: str) -> None:
    written = Operations.model_validate({k: v for entry in PRESETS[name] for k, v in entry.items()})
    assert operations(load(name).data.augment) == written
    assert load(name).flat()["data.augment"] == name


def test_strong_does_more_than_light() -> None:
    light, strong = of("light"), of("strong")
    assert strong.keys() > light.keys()
    assert strong["rotate"] > light["rotate"]
    assert strong["zoom"][0] < light["zoom"][0] < light["zoom"][1] < strong["zoom"][1]


def test_a_list_may_start_from_a_preset() -> None:
    changed = of("[strong, {flip_horizontal: 0.5}, {rotate: 45}, {erase: null}]")
    expected = of("strong") | {"flip_horizontal": 0.5, "rotate": 45.0}
    del expected["erase"]
    assert changed == expected
    assert of("[{rotate: 45}, light]")["rotate"] == 45.0


@pytest.mark.parametrize("value", ["none", "light", EVERY_OPERATION, "[light, {crop: 2}]"])
def test_it_is_written_as_it_was_read(value: str) -> None:
    params = load(value)
    assert Params.model_validate(params.model_dump()) == params
    assert Params.model_validate_json(params.model_dump_json()) == params
    assert params.replace({}) == params
    assert params.replace({"data.augment": params.flat()["data.augment"]}) == params


def test_flat_holds_the_list_as_yaml_has_it() -> None:
    assert load(EVERY_OPERATION).flat()["data.augment"] == YAML(typ="safe", pure=True).load(EVERY_OPERATION)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("lite", "data.augment must be one of none, light, strong or a list of operations, got 'lite'; did you mean"),
        ("3", "data.augment must be one of none, light, strong or a list of operations, got 3"),
        ("null", "data.augment must be one of none, light, strong or a list of operations, got null"),
        ("{rotate: 15}", "data.augment must be one of none, light, strong or a list of operations, got {'rotate': 15}"),
        ("[]", "data.augment: the list names no operation; use none"),
        ("[{erase: null}]", "data.augment: the list names no operation; use none"),
        ("[{rotat: 15}]", "data.augment: there is no operation 'rotat'; did you mean rotate?"),
        ("[{color: {hue: 0.1}}]", "data.augment: there is no operation 'color'; did you mean colour?"),
        ("[{zzzz: 15}]", "data.augment: there is no operation 'zzzz'; there are rotate, shift, zoom, shear, flip_hor"),
        ("[none]", "data.augment: each entry must be light, strong or an operation, such as {rotate: 15}, got 'none'"),
        ("[[rotate, 15]]", "data.augment: each entry must be light, strong or an operation"),
        ("[{rotate: 1}, {rotate: 2}]", "data.augment: rotate stands in the list twice; keep one"),
        ("[{rotate: 0}]", "data.augment.rotate must be > 0.0, got 0"),
        ("[{rotate: 181}]", "data.augment.rotate must be <= 180.0, got 181"),
        ("[{rotate: much}]", "data.augment.rotate must be a number, got 'much'"),
        ("[{rotate: .nan}]", "data.augment.rotate must be a finite number, got nan"),
        ("[{shift: 1.5}]", "data.augment.shift must be <= 1.0, got 1.5"),
        ("[{zoom: 1.1}]", "data.augment.zoom must be a list, got 1.1"),
        ("[{zoom: [0.9]}]", "data.augment.zoom.1 is missing"),
        ("[{zoom: [0.9, 1.0, 1.1]}]", "data.augment.zoom must have at most 2 entries, got [0.9, 1.0, 1.1]"),
        ("[{zoom: [0, 1.1]}]", "data.augment.zoom.0 must be > 0.0, got 0"),
        ("[{zoom: [1.1, 0.9]}]", "data.augment.zoom: the low end must come first, got [1.1, 0.9]"),
        ("[{shear: 90}]", "data.augment.shear must be < 90.0, got 90"),
        ("[{flip_horizontal: 1.1}]", "data.augment.flip_horizontal must be <= 1.0, got 1.1"),
        ("[{flip_vertical: 0}]", "data.augment.flip_vertical must be > 0.0, got 0"),
        ("[{crop: 1.5}]", "data.augment.crop must be a whole number, got 1.5"),
        ("[{crop: 0}]", "data.augment.crop must be > 0, got 0"),
        ("[{erase: 0.5}]", "data.augment.erase must be a section with keys below it, got 0.5"),
        ("[{erase: {probability: 0.5}}]", "data.augment.erase.area is missing"),
        ("[{erase: {probability: 0.5, area: [0.2, 1.0]}}]", "data.augment.erase.area.1 must be < 1.0, got 1.0"),
        ("[{erase: {probability: 0.5, area: [0.2, 0.1]}}]", "data.augment.erase.area: the low end must come first"),
        ("[{colour: {hue: 0.6}}]", "data.augment.colour.hue must be <= 0.5, got 0.6"),
        ("[{colour: {}}]", "data.augment.colour: name at least one of brightness, contrast, saturation, hue"),
        (
            "[{colour: {hu: 0.1}}]",
            "data.augment.colour.hu is not a key of params.yaml; did you mean data.augment.colour.hue?",
        ),
    ],
)
def test_a_mistake_is_one_line(value: str, text: str) -> None:
    said = mistake(value)
    assert said.startswith(text)
    assert said.endswith("--set)")


def test_tables_are_not_augmented() -> None:
    said = mistake("light", "data.name=wine")
    assert said.startswith("data.augment needs images, but data.name wine is a table; use none (")
    load("none", "data.name=wine")


def test_the_comment_in_params_yaml_shows_every_operation() -> None:
    comment = SHIPPED.read_text(encoding="utf-8").partition("  augment: none")[2].partition("\n\n")[0]
    entries = [line.split("# - ")[1].split("    ")[0].strip() for line in comment.splitlines() if "# - " in line]
    assert len(entries) == len(Operations.model_fields) + 1  # and a preset
    shown = load(f"[{', '.join(f'{{{entry}}}' if ':' in entry else entry for entry in entries)}]").data.augment
    assert isinstance(shown, Operations)
    assert all(value is not None for _, value in shown)
