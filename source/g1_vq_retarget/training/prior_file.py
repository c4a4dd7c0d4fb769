"""A prior's weights, and what model it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from g1_vq_retarget.configuration import from_dict, to_dict
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file
from g1_vq_retarget.models.prior import PriorConfig, TokenPrior, build_prior
from g1_vq_retarget.training.checkpoint import Checkpoint
from g1_vq_retarget.training.weights import card_of, load_card, load_weights, save_weights

NAME = "prior.safetensors"


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
    card = {
        "prior": to_dict(prior.config),
        "levels": len(prior.parts),
        "model_sha256": checkpoint.info["weights_sha256"],
        **info,
    }
    save_weights(path, prior, card)


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
    info = load_card(weights, "prior", "train one with scripts/train_prior.py", ("prior", "levels", "model_sha256"))
    if info["model_sha256"] != checkpoint.info["weights_sha256"]:
        raise UserError(
            f"{weights}: is the prior of another model than {checkpoint.path}; "
            "train this one's with scripts/train_prior.py"
        )

    def build() -> TokenPrior:
        config = from_dict(PriorConfig, info["prior"], str(card_of(weights)))
        return build_prior(checkpoint.model, config, info["levels"])

    return PriorFile(load_weights(weights, info, build), info, weights)
