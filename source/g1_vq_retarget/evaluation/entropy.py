"""The measured rate of a model: what its tokens cost under a learned prior, on clips that neither was trained on."""

from __future__ import annotations

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models import DualEncoderVQVAE
from g1_vq_retarget.models.prior import TokenPrior
from g1_vq_retarget.training.token_sequences import MeasuredRate, code_sequences, measured_rate, whole_sequences


def measured_bits(model: DualEncoderVQVAE, prior: TokenPrior, split: Split, spec: FeatureSpec) -> MeasuredRate:
    """Ideal bits (cross-entropy) of the robot's tokens of a split, whole clips, each told from its beginning.

    A range coder needs next to nothing more: `retarget.compression` writes such files.

    Raises:
        UserError: the split holds no windows.
    """
    sequences = whole_sequences(split, spec)
    if not sequences:
        raise UserError(f"{split.folder.path}: split '{split.name}' is empty, there is no rate to measure")
    return measured_rate(prior, code_sequences(model, sequences, spec.fps, len(prior.parts)))
