"""Weights as safetensors and a card beside them: JSON that tells what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing, sha256_of

FORMAT_VERSION = 1

M = TypeVar("M", bound=nn.Module)


def save_weights(path: Path, module: nn.Module, card: dict) -> None:
    """Write `path` (.safetensors) and the card beside it; each file is whole or absent."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with replacing(path) as temporary:
        save_file(state, temporary)
    card = {
        "format_version": FORMAT_VERSION,
        "tool_version": version("g1_vq_retarget"),
        "weights_sha256": sha256_of(path),
        **card,
    }
    with replacing(card_of(path)) as temporary:
        temporary.write_text(json.dumps(card, indent=1), encoding="utf-8")


def load_card(path: Path, kind: str, advice: str, keys: tuple[str, ...]) -> dict:
    """The card of the weights `path`.

    Args:
        path: .safetensors.
        kind: of the weights, in words.
        advice: how to have such weights made.
        keys: that the card needs to have; without the first it is of something else.

    Raises:
        UserError: no such files, a damaged card, or one of another format version.
    """
    weights = existing_file(path)
    beside = existing_file(card_of(weights))
    try:
        card = json.loads(beside.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{beside}: not JSON ({error})") from error
    found = card.get("format_version") if isinstance(card, dict) else None
    if found != FORMAT_VERSION:
        raise UserError(
            f"{beside}: {kind} format_version is {found}, this version of the package reads {FORMAT_VERSION}; "
            f"{advice} or install the version that wrote it"
        )
    missing = [key for key in keys if key not in card]
    if keys[0] in missing:
        raise UserError(f"{beside}: is no {kind}'s; {advice}")
    if missing:
        raise UserError(f"{beside}: lacks {', '.join(missing)}; copy both files of the {kind} again")
    return card


def load_weights(path: Path, card: dict, build: Callable[[], M]) -> M:
    """The module that a card describes, with its weights, in evaluation mode.

    Args:
        path: .safetensors.
        card: as `load_card` gives it.
        build: makes it from the card, of which it may ask what is not there or cannot be.

    Raises:
        UserError: a damaged file, weights that the card is not of, or that do not fit what is built.
    """
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: damaged or no safetensors file ({error}); copy it again") from error
    if card.get("weights_sha256") != sha256_of(path):
        raise UserError(f"{path}: is not the file that {card_of(path).name} was written for; copy both files again")
    try:
        module = build()
        module.load_state_dict(state)
    except (AttributeError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{path}: does not fit {card_of(path).name} ({error}); copy both files again") from error
    return module.eval()


def card_of(path: Path) -> Path:
    """Where the card of weights stands."""
    return path.with_suffix(".json")
