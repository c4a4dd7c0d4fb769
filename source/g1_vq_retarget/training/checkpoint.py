"""Weights as safetensors, everything needed to use them as JSON beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from g1_vq_retarget.configuration import from_dict, to_dict
from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing, sha256_of
from g1_vq_retarget.models import DualEncoderVQVAE, ModelConfig

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """A trained model and what it speaks.

    Attributes:
        model: on the CPU, in evaluation mode.
        spec: its features: joints, rate, normalisation.
        info: the JSON beside the weights: epoch, metrics, window, licences of the training data, tool version.
        path: the weights.
    """

    model: DualEncoderVQVAE
    spec: FeatureSpec
    info: dict
    path: Path


def build_model(spec: FeatureSpec, config: ModelConfig) -> DualEncoderVQVAE:
    """An untrained model for these features."""
    return DualEncoderVQVAE(len(spec.robot_mean), len(spec.human_mean), config)


def save_checkpoint(path: Path, model: DualEncoderVQVAE, spec: FeatureSpec, info: dict) -> None:
    """Write `path` (.safetensors) and the JSON beside it; each file is whole or absent."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(path) as temporary:
        save_file(state, temporary)
    card = {
        "format_version": FORMAT_VERSION,
        "tool_version": version("g1_vq_retarget"),
        "model": to_dict(model.config),
        "features": spec.to_dict(),
        "bits_per_second": model.bits_per_second(spec.fps),
        "codebook_sizes": list(model.quantizer.codebook_sizes),
        "weights_sha256": sha256_of(path),
        **info,
    }
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=1), encoding="utf-8")


def find_weights(path: Path) -> Path:
    """The weights that a path names: a file, or in a run folder `best`, else `last`.

    Raises:
        UserError: neither.
    """
    if path.is_dir():
        for name in ("best.safetensors", "last.safetensors"):
            if (path / name).is_file():
                return path / name
        raise UserError(f"{path}: holds no best.safetensors or last.safetensors; is it the folder given to --run?")
    return existing_file(path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a run folder's best checkpoint, or a .safetensors file.

    Raises:
        UserError: missing or damaged files, or a checkpoint of another format version.
    """
    weights = find_weights(Path(path))
    card_path = existing_file(weights.with_suffix(".json"))
    try:
        info = json.loads(card_path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{card_path}: not JSON ({error})") from error
    found = info.get("format_version") if isinstance(info, dict) else None
    if found != FORMAT_VERSION:
        raise UserError(
            f"{card_path}: checkpoint format_version is {found}, this version of the package reads {FORMAT_VERSION}; "
            "train again or install the version that wrote it"
        )
    try:
        state = load_file(weights)
    except SafetensorError as error:
        raise UserError(f"{weights}: damaged or no safetensors file ({error}); copy it again") from error
    if info.get("weights_sha256") != sha256_of(weights):
        raise UserError(f"{weights}: is not the file that {card_path.name} was written for; copy both files again")
    missing = [key for key in ("model", "features", "licences", "human_windows") if key not in info]
    if missing:
        raise UserError(f"{card_path}: lacks {', '.join(missing)}; copy both files of the checkpoint again")
    try:
        config = from_dict(ModelConfig, info["model"], str(card_path))
        spec = FeatureSpec.from_dict(info["features"])
        model = build_model(spec, config)
        model.load_state_dict(state)
    except (AttributeError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{weights}: does not fit {card_path.name} ({error}); copy both files again") from error
    return Checkpoint(model.eval(), spec, info, weights)
