"""A causal model, a step at a time: what it remembers goes in and comes out, so that it can be exported as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from g1_vq_retarget.models.past import Past
from g1_vq_retarget.models.vqvae import DualEncoderVQVAE


class StreamingStep(nn.Module):
    """Human frames of one step in, robot frames of that step out.

    Steps that follow one another give what `encode_human` and `decode` give of the whole, but for rounding.

    `forward` is all of a step. Someone waits for the `answer` alone: `look_back` and `foretell` can do the rest, which
    is as much, between one answer and the human's next frames.

    Args:
        model: a causal one, in evaluation mode.
        levels: only so many tokens a step, for a lower rate.

    Attributes:
        answering: how many of the state's tensors, the first, are for the answer: the correction, what the quantizer
            remembers, and a `Past`. The rest is for looking back.

    Raises:
        ValueError: the model looks ahead.
    """

    def __init__(self, model: DualEncoderVQVAE, levels: int | None = None) -> None:
        super().__init__()
        if not model.causal:
            raise ValueError("the model is not causal")
        self.model = model
        self.levels = levels or len(model.quantizer.codebook_sizes)
        feedback = model.feedback()
        nothing = torch.zeros(0, device=next(model.parameters()).device)
        self.feedback = nn.Buffer(nothing if feedback is None else feedback)
        begin = model.quantizer.begin(1)
        self._coded, self._expected = len(begin), len(model.quantizer.expect(begin, self.levels))
        past = self._first(1)[2]
        self.answering = 1 + self._coded + len(past.now)
        # what looks back from a single column: most of its work is on what is known
        self._lookers = tuple(looker if columns == 1 else None for looker, columns in past.lookers)

    @torch.no_grad()
    def begin(self, rows: int = 1) -> tuple[Tensor, ...]:
        """What `forward` is to remember before the first step; rows (B) stand first, and can be reset one by one."""
        human, (_, _, latent, coded), past = self._first(rows)
        correction, *looking = self.look_back(human, latent)
        return tuple(torch.zeros_like(one) for one in (correction, *coded, *past.now, *looking))

    def forward(self, human: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Robot motion (B, downsample, D), tokens (B, levels), and the state for the next step.

        Args:
            human: (B, downsample, H) normalised features; velocities are those of the frame before, as
                `DualEncoderVQVAE.known` has them.
            state: what came of the step before, or of `begin`.
        """
        motion, tokens, latent, *remembered = self.answer(human, *state[: self.answering])
        correction, *looking = self.look_back(human, latent, *state[self.answering :])
        return motion, tokens, correction, *remembered, *looking

    @torch.no_grad()
    def answer(self, human: Tensor, *known: Tensor) -> tuple[Tensor, ...]:
        """Motion, tokens, the human encoder's latent (B, 1, C), and of the state what is remembered for an answer.

        Args:
            human: as for `forward`.
            known: the state, as far as it is for the answer, and what `foretell` made of it, if that has been done.
        """
        correction, *remembered = known[: self.answering]
        coded, kept, foretold = tuple(remembered[: self._coded]), remembered[self._coded :], known[self.answering :]
        parts = iter(foretold[self._expected :])
        past = Past(kept, [None if looker is None else next(parts) for looker in self._lookers] if foretold else ())
        motion, tokens, latent, coded = self._run(human, correction, coded, past, foretold[: self._expected])
        return motion, tokens, latent, *coded, *past.now

    @torch.no_grad()
    def look_back(self, human: Tensor, latent: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """The correction (B, 1, C) of the next step's latent, and of the state what is for looking back.

        Args:
            human: as for `forward`.
            latent: what `answer` gave of it.
            state: as far as it is for looking back.
        """
        past = Past(state)
        return self.model.human_way(human, latent, past), *past.now

    @torch.no_grad()
    def foretell(self, *remembered: Tensor) -> tuple[Tensor, ...]:
        """What of the next answer depends on the past alone: for the quantizer, and of convolutions.

        Args:
            remembered: the state, as far as it is for the answer, but for the correction.
        """
        coded, kept = remembered[: self._coded], remembered[self._coded :]
        parts = [looker.foretell(one) for looker, one in zip(self._lookers, kept, strict=True) if looker is not None]
        return *self.model.quantizer.expect(coded, self.levels), *parts

    def _run(
        self, human: Tensor, correction: Tensor, coded: tuple[Tensor, ...], past: Past, expected: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
        """Motion, tokens, the human encoder's latent, and the quantizer's state."""
        model, feedback = self.model, self.feedback if len(self.feedback) else None
        latent = model.human_encoder(human, past)
        corrected = (latent + correction)[:, 0]
        code, tokens, coded = model.quantizer.encode_next(corrected, coded, self.levels, feedback, expected)
        told = self.levels / len(model.quantizer.codebook_sizes)
        return model.decoder(code[:, None], told, past), tokens, latent, coded

    @torch.no_grad()
    def _first(self, rows: int) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...]], Past]:
        """Some human frames of a first step, what `_run` makes of them, and the past that they are then."""
        model, device, past = self.model, self.feedback.device, Past()
        features = model.human_encoder.get_parameter("linear.weight").shape[1]
        human = torch.zeros(rows, model.downsample, features, device=device)
        correction = torch.zeros(rows, 1, model.config.network.latent_dim, device=device)
        return human, self._run(human, correction, model.quantizer.begin(rows), past, ()), past
