"""A causal model, a step at a time: what it remembers goes in and comes out, so that it can be exported as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from g1_vq_retarget.models.past import Past
from g1_vq_retarget.models.vqvae import DualEncoderVQVAE


class StreamingStep(nn.Module):
    """Human frames of one step in, robot frames of that step out.

    Steps that follow one another give what `encode_human` and `decode` give of the whole, but for rounding.

    Args:
        model: a causal one, in evaluation mode.
        levels: only so many tokens a step, for a lower rate.

    Raises:
        ValueError: the model looks ahead.
    """

    def __init__(self, model: DualEncoderVQVAE, levels: int | None = None) -> None:
        super().__init__()
        if not model.causal:
            raise ValueError("the model is not causal")
        self.model = model
        self.levels = levels or len(model.quantizer.codebook_sizes)
        # of the state's tensors, those of the quantizer; the rest is a `Past`
        self._coded = len(model.quantizer.begin(1))
        feedback = model.feedback()
        self.feedback = nn.Buffer(torch.zeros(0) if feedback is None else feedback)

    @torch.no_grad()
    def begin(self, rows: int = 1) -> tuple[Tensor, ...]:
        """What `forward` is to remember before the first step; rows (B) stand first, and can be reset one by one."""
        device = self.feedback.device
        features = self.model.human_encoder.get_parameter("linear.weight").shape[1]
        nothing = torch.zeros(rows, self.model.downsample, features, device=device)
        known = self._run(nothing, self.model.quantizer.begin(rows), Past())
        return tuple(torch.zeros_like(one) for one in known[2:])

    @torch.no_grad()
    def forward(self, human: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Robot motion (B, downsample, D), tokens (B, levels), and the state for the next step.

        Args:
            human: (B, downsample, H) normalised features; velocities are those of the frame before, as
                `DualEncoderVQVAE.known` has them.
            state: what came of the step before, or of `begin`.
        """
        return self._run(human, state[: self._coded], Past(state[self._coded :]))

    def _run(self, human: Tensor, coded: tuple[Tensor, ...], past: Past) -> tuple[Tensor, ...]:
        model = self.model
        latent = model.latent_of_known(human, past)[:, 0]
        feedback = self.feedback if len(self.feedback) else None
        code, tokens, coded = model.quantizer.encode_next(latent, coded, self.levels, feedback)
        told = self.levels / len(model.quantizer.codebook_sizes)
        return model.decoder(code[:, None], told, past), tokens, *coded, *past.now
