"""A prior's weights as safetensors, and as JSON beside them what model it belongs to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from g1_vq_retarget.configuration import from_dict, to_dict
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing, sha256_of
from g1_vq_retarget.models.prior import PriorConfig, TokenPrior, build_prior
from g1_vq_retarget.training.checkpoint import Checkpoint

NAME = "prior.safetensors"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class PriorFile:
    """A trained prior.

    Attributes:
        prior: on the CPU, in evaluation mode.
        info: the JSON beside the weights.
        path: the weights.
    """

    prior: TokenPrior
    info: dict
    path: Path


def save_prior(path: Path, prior: TokenPrior, checkpoint: Checkpoint, info: dict) -> None:
    """Write `path` (.safetensors) and the JSON beside it; each file is whole or absent."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in prior.state_dict().items()}
    with replacing(path) as temporary:
        save_file(state, temporary)
    card = {
        "format_version": FORMAT_VERSION,
        "tool_version": version("g1_vq_retarget"),
        "prior": to_dict(prior.config),
        "levels": len(prior.parts),
        "model_sha256": checkpoint.info["weights_sha256"],
        "weights_sha256": sha256_of(path),
        **info,
    }
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=1), encoding="utf-8")


def load_prior(path: Path, checkpoint: Checkpoint) -> PriorFile:
    """Read the prior of a model.

    Args:
        path: a .safetensors file, or a folder with a `prior.safetensors`.
        checkpoint: the model.

    Raises:
        UserError: missing or damaged files, another format version, or the prior of another model.
    """
    if path.is_dir() and not (path / NAME).is_file():
        raise UserError(f"{path}: holds no {NAME}; train one with scripts/train_prior.py")
    weights = existing_file(path / NAME if path.is_dir() else path)
    card_path = existing_file(weights.with_suffix(".json"))
    try:
        info = json.loads(card_path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{card_path}: not JSON ({error})") from error
    found = info.get("format_version") if isinstance(info, dict) else None
    if found != FORMAT_VERSION or "prior" not in info:
        raise UserError(
            f"{card_path}: is no prior of format_version {FORMAT_VERSION}; train one with scripts/train_prior.py"
        )
    if info.get("model_sha256") != checkpoint.info["weights_sha256"]:
        raise UserError(
            f"{weights}: is the prior of another model than {checkpoint.path}; "
            "train this one's with scripts/train_prior.py"
        )
    if info.get("weights_sha256") != sha256_of(weights):
        raise UserError(f"{weights}: is not the file that {card_path.name} was written for; copy both files again")
    try:
        prior = build_prior(checkpoint.model, from_dict(PriorConfig, info["prior"], str(card_path)), info["levels"])
        prior.load_state_dict(load_file(weights))
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{weights}: does not fit {card_path.name} ({error}); copy both files again") from error
    return PriorFile(prior.eval(), info, weights)
