"""A model's weights, with everything needed to use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from g1_vq_retarget.configuration import from_dict, to_dict
from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file
from g1_vq_retarget.models import DualEncoderVQVAE, ModelConfig
from g1_vq_retarget.models.predictive import PredictiveResidual
from g1_vq_retarget.models.way import RootRates
from g1_vq_retarget.motion.root import root_columns
from g1_vq_retarget.training.weights import card_of, load_card, load_weights, save_weights

# Turning rates of humans are followed on an average of so long.
HEADING_SECONDS = 1.0


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

    def check_levels(self, levels: int | None) -> None:
        """Refuse a number of tokens a step that the model does not have; None stands for all of them.

        Raises:
            UserError: of another number.
        """
        most = len(self.model.quantizer.codebook_sizes)
        if levels is not None and not 1 <= levels <= most:
            raise UserError(f"levels must be 1 to {most}, those of {self.path}; it is {levels}")

    def search_with(self, beam: int | None) -> None:
        """Have the model search with so many candidates, in place of its own: fewer are faster and a little worse.

        Raises:
            UserError: there is nothing to search, or fewer than one; None leaves all as it is.
        """
        quantizer = self.model.quantizer
        if beam is None:
            return
        if not isinstance(quantizer, PredictiveResidual):
            raise UserError(f"--beam: {self.path} has no predictive codes to search; leave it out")
        if beam < 1:
            raise UserError(f"--beam must be at least 1, it is {beam}")
        quantizer.config.beam = beam


def build_model(spec: FeatureSpec, config: ModelConfig) -> DualEncoderVQVAE:
    """An untrained model for these features."""
    return DualEncoderVQVAE(len(spec.robot_mean), len(spec.human_mean), config, _root_rates(spec))


def _root_rates(spec: FeatureSpec) -> RootRates | None:
    if not spec.root:
        return None
    names = root_columns(spec.orientation)
    velocities = tuple(names.index(name) - len(names) for name in ("vel_forward", "vel_left", "yaw_rate"))
    turning = velocities[-1]
    scale = spec.human_std[turning] / spec.robot_std[turning]
    shift = (spec.human_mean[turning] - spec.robot_mean[turning]) / spec.robot_std[turning]
    return RootRates(velocities, turning, scale, shift, round(HEADING_SECONDS * spec.fps))


def save_checkpoint(path: Path, model: DualEncoderVQVAE, spec: FeatureSpec, info: dict) -> None:
    """Write `path` (.safetensors) and the JSON beside it; each file is whole or absent."""
    card = {
        "model": to_dict(model.config),
        "features": spec.to_dict(),
        "bits_per_second": model.bits_per_second(spec.fps),
        "codebook_sizes": list(model.quantizer.codebook_sizes),
        **info,
    }
    save_weights(path, model, card)


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
    info = load_card(weights, "checkpoint", "train again", ("model", "features", "licences", "human_windows"))

    def build() -> DualEncoderVQVAE:
        config = from_dict(ModelConfig, info["model"], str(card_of(weights)))
        return build_model(FeatureSpec.from_dict(info["features"]), config)

    model = load_weights(weights, info, build)
    return Checkpoint(model, FeatureSpec.from_dict(info["features"]), info, weights)
