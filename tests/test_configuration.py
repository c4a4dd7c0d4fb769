from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from g1_vq_retarget.configuration import from_dict, parse, read_preset, to_dict
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.training.config import TrainConfig

PRESETS = sorted((Path(__file__).parents[1] / "config" / "vq").glob("*.yaml"))


@dataclass
class Wheel:
    spokes: int = 32
    """How many."""
    radius: float = 0.35
    """m."""


@dataclass
class Cart:
    name: str = "cart"
    """What it is called."""
    place: Path = Path("shed")
    """Where it stands."""
    brake: bool = True
    """Whether it has one."""
    gear: Literal[1, 2, 4] = 1
    """The gear."""
    load: list[list[int]] = field(default_factory=lambda: [[1], [2, 3]])
    """What lies on it."""
    wheel: Wheel = field(default_factory=Wheel)


def preset(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cart.yaml"
    path.write_text(text)
    return path


# YAML


def test_plain_values_come_back_as_they_were(tmp_path: Path) -> None:
    cart = Cart("lorry", tmp_path, False, 4, [[], [5]], Wheel(8, 1.0))
    values = to_dict(cart)
    assert from_dict(Cart, values, "here") == cart
    assert from_dict(Cart, yaml.safe_load(yaml.safe_dump(values)), "here") == cart
    assert values["place"] == str(tmp_path)


def test_a_preset_is_a_difference_from_the_defaults(tmp_path: Path) -> None:
    cart = read_preset(Cart, preset(tmp_path, "wheel: {spokes: 8}\nplace: barn\n"))
    assert cart == Cart(place=Path("barn"), wheel=Wheel(spokes=8))


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("1", 1.0), ("2.5", 2.5), ("'0.5'", 0.5)])
def test_numbers_may_be_written_as_people_do(text: str, value: float, tmp_path: Path) -> None:
    radius = read_preset(Cart, preset(tmp_path, f"wheel: {{radius: {text}}}")).wheel.radius
    assert radius == value
    assert type(radius) is float


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("colour: red", "unknown key colour"),
        ("wheel: {tyre: wide}", "unknown key tyre"),
        ("1: 2", "unknown key 1"),
        ("wheel: 3", "wheel"),
        ("wheel: {spokes: 2.5}", r"wheel\.spokes"),
        ("wheel: {spokes: many}", r"wheel\.spokes"),
        ("wheel: {radius: wide}", r"wheel\.radius"),
        ("gear: 3", "gear"),
        ("place: 3", "expected str"),
        ("load: [1, 2]", "load"),
        ("name: null", "name"),
        ("[1, 2]", "expected keys and values"),
        ("a: b: c", "not YAML"),
        ("\tx", "not YAML"),
        ("", "is empty"),
        ("# nothing", "expected keys and values"),
    ],
)
def test_a_preset_that_cannot_be_is_refused_by_file_and_key(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"cart\.yaml.*{told}"):
        read_preset(Cart, preset(tmp_path, text))


def test_a_preset_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cart.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"cart\.yaml: not YAML"):
        read_preset(Cart, tmp_path / "cart.yaml")
    with pytest.raises(UserError, match=r"gone\.yaml: no such file"):
        read_preset(Cart, tmp_path / "gone.yaml")


# The command line


@pytest.mark.parametrize("how", ["--config {}", "--config={}"])
def test_flags_go_over_the_preset_and_the_preset_over_the_defaults(how: str, tmp_path: Path) -> None:
    path = preset(tmp_path, "name: lorry\nwheel: {spokes: 8}\n")
    flags = how.format(path).split()
    assert parse(Cart, "", flags) == Cart(name="lorry", wheel=Wheel(spokes=8))
    expected = Cart(name="van", wheel=Wheel(spokes=8, radius=0.2))
    for args in (["--name", "van", *flags, "--wheel.radius", "0.2"], [*flags, "--wheel.radius=0.2", "--name=van"]):
        assert parse(Cart, "", args) == expected


def test_without_a_preset_flags_go_over_the_defaults() -> None:
    assert parse(Cart, "", []) == Cart()
    assert parse(Cart, "", ["--no-brake", "--gear", "4"]) == Cart(brake=False, gear=4)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--config"], "--config needs a YAML file"),
        (["--config="], "--config needs"),
        (["--config", "gone.yaml"], "gone"),
    ],
)
def test_a_preset_that_is_not_named_or_not_there_is_refused(args: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        parse(Cart, "", args)


def test_an_unknown_flag_stops_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(Cart, "", ["--colour", "red"])
    assert stopped.value.code == 2
    assert "--colour" in capsys.readouterr().err


def test_help_names_every_field_with_its_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(Cart, "A cart.", ["--help"])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    for word in ("A cart.", "--config FILE", "--wheel.spokes", "How many.", "Where it stands."):
        assert word in told


# The presets of this project


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_is_a_training_with_a_label(path: Path) -> None:
    config = read_preset(TrainConfig, path)
    assert config.label
    assert from_dict(TrainConfig, to_dict(config), "") == config
    assert parse(TrainConfig, "", ["--config", str(path), "--seed", "7"]).seed == 7


def documented(kind: type) -> dict[str, Any]:
    """Fields of nested dataclasses."""
    fields = {}
    for name, entry in kind.__dataclass_fields__.items():  # type: ignore[attr-defined]
        default = entry.default_factory() if callable(entry.default_factory) else entry.default
        fields |= (
            {f"{name}.{sub}": value for sub, value in documented(type(default)).items()}
            if hasattr(default, "__dataclass_fields__")
            else {name: default}
        )
    return fields


def test_every_field_of_a_training_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(TrainConfig, "", ["--help"])
    told = capsys.readouterr().out
    for name in documented(TrainConfig):
        assert f"--{name.replace('_', '-')}" in told
