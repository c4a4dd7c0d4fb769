"""Typed configuration: dataclasses, YAML presets over their defaults, flags over the presets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import dacite
import tyro
import yaml

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file

Config = TypeVar("Config")


def from_dict(kind: type[Config], values: dict, source: str) -> Config:
    """A dataclass of nested plain values, its defaults for what is absent.

    Raises:
        UserError: an unknown key, or a value of another type; names `source`.
    """
    try:
        return dacite.from_dict(kind, values, dacite.Config(strict=True, cast=[Path], type_hooks={float: _as_float}))
    except dacite.UnexpectedDataError as error:
        raise UserError(f"{source}: unknown key {', '.join(sorted(map(str, error.keys)))}") from error
    except (dacite.DaciteError, TypeError) as error:  # TypeError: a Path of something that is no text
        raise UserError(f"{source}: {error}") from error


def to_dict(config: object) -> dict:
    """Nested plain values that JSON and YAML can hold; the inverse of `from_dict`."""
    return _plain(asdict(config))  # type: ignore[call-overload]


def preset_folder() -> Path:
    """Where this package's presets stand: `config/` of the checkout, or its copy inside an installed package."""
    package = Path(__file__).parent
    inside = package / "config"
    return inside if inside.is_dir() else package.parents[1] / "config"


def read_preset(kind: type[Config], path: Path) -> Config:
    """A dataclass from a YAML file that says how it differs from the defaults."""
    try:
        values = yaml.safe_load(existing_file(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML ({error})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected keys and values")
    return from_dict(kind, values, str(path))


def parse(kind: type[Config], description: str, args: Sequence[str] | None = None) -> Config:
    """The configuration a command line asks for: `--config FILE`, if given, then every other flag over it."""
    rest = list(sys.argv[1:] if args is None else args)
    default = kind()
    for position, arg in enumerate(rest):
        if arg == "--config" or arg.startswith("--config="):
            value = arg.partition("=")[2] if "=" in arg else "".join(rest[position + 1 : position + 2])
            del rest[position : position + (1 if "=" in arg else 2)]
            if not value:
                raise UserError("--config needs a YAML file")
            default = read_preset(kind, Path(value))
            break
    return tyro.cli(kind, default=default, args=rest, description=description + "\n\n--config FILE: a YAML preset.")


def _as_float(value: object) -> object:
    # YAML reads 1e-3 as text and 1 as a whole number
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value
