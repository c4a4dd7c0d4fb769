"""Closed-loop predictive residual vector quantization.

Motion is slow: most of a step can be told from the steps before it. Encoder and decoder share a small causal network
that predicts each latent, its mean and its deviation in every channel, from the last *decoded* ones; residual
codebooks tell only what is left, in units of that deviation, so that the same few codes serve a still pose and a jump
(predictive coding: Gersho and Gray 1992, "Vector Quantization and Signal Compression", ch. 13; gain-adaptive codes:
ch. 16). As the prediction sees what the decoder sees, errors do not add up. The search keeps several candidates from
level to level (Chen et al. 2010, "Approximate Nearest Neighbor Search by Residual Vector Quantization").

Fewer levels give a lower rate from the same model: in training the number told varies, if so configured.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from vector_quantize_pytorch.vector_quantize_pytorch import kmeans

from g1_vq_retarget.models.quantizer import Quantized, Quantizer, QuantizerConfig

# Share of the latents' mean variance that stands for the codes' error while the linear prediction is fitted: history
# is decoded, not true.
START_NOISE = 0.002
# What hardly varies counts as varying by this share of the average. A channel that the latents leave empty has no scale
# of its own: whatever is predicted of it would be miles off, and all that training looks at.
LEAST_SHARE = 0.01
# Ridge of that fit, as a share of the number of steps.
RIDGE = 1e-6
# Latents that the codes of one level are placed on.
PLACED_ON = 20_000
# The first steps of a sequence are predicted from nothing and cost far more than all others; they are rare in use, and
# would be all that training looks at.
ONSET_WEIGHT = 0.1
# Weight of the likelihood by which the deviations learn, beside the squared error.
LIKELIHOOD = 5e-4
# An error of the memory must die away: decoders round otherwise than the encoder did, and tokens get spoiled. Training
# looks at errors of these sizes in so many sequences, after so many steps have turned them to what grows most, and
# pays for the square of what one then grows by more than it may: this much for one that stays as it is.
GROWTH_COST = 0.012
GROWTH_ROWS, TURNING_STEPS, GROWTH_STEPS = 16, 12, 12
ERROR_SIZES = -2.0, 0.0  # from one to the other power of ten
OTHER_KINDS = 0.3
# What is remembered counts as no farther out than this, in standard deviations: whatever tokens come, latents stay
# finite. Human motion unlike all that was trained on has been seen at 23.
FARTHEST = 32.0
# Deviations stay within so many e-folds of what they are on average.
SCALE_RANGE = 4.0
# Where the number of levels varies in training, all of them are told so often.
FULL_SHARE = 0.6
# Candidates are looked at so many at once, to find the best of them; of so few costs sorting is faster.
GROUP = 16
FEW = 2**14


class Prediction(nn.Module):
    """Mean and log-deviation of the next latent: a linear map of the memory, and what a network adds to it.

    Args:
        dim: C, channels of the latents.
        memory: K, steps looked back on.
        width: channels of the network.
    """

    def __init__(self, dim: int, memory: int, width: int) -> None:
        super().__init__()
        inputs = memory * (dim + 1)
        self.linear = nn.Linear(inputs, dim)
        self.inlet = nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width), nn.GELU())
        self.hidden = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.GELU())
        self.out = nn.Linear(width, 2 * dim)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.scale = nn.Buffer(torch.ones(inputs))
        self.log_deviation = nn.Buffer(torch.zeros(dim))

    def forward(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(..., C) mean and (..., C) deviation from a memory (..., K (C + 1)); the latest step stands first.

        Of a memory in float64, the linear map is computed as finely, and so the mean; see `begin`.
        """
        farthest = (FARTHEST / self.scale).to(memory)
        memory = memory.clamp(-farthest, farthest)
        hidden = self.inlet(memory.float() * self.scale)
        mean, log_scale = self.out(hidden + self.hidden(hidden)).chunk(2, -1)
        linear = F.linear(memory, self.linear.weight.to(memory), self.linear.bias.to(memory))
        return linear + mean, (log_scale.clamp(-SCALE_RANGE, SCALE_RANGE) + self.log_deviation).exp()


class PredictiveResidual(Quantizer):
    """Residual codebooks for what the decoded past does not tell.

    A step of the memory is a decoded latent and the share of the levels that it was told with, 0 before the beginning.
    """

    def __init__(self, dim: int, config: QuantizerConfig) -> None:
        super().__init__(config)
        self.config = config
        self.codebook_sizes = (config.codebook_size,) * config.levels
        self.reach = config.memory
        self.prediction = Prediction(dim, config.memory, config.predictor_width)
        self.codebooks = nn.Parameter(torch.zeros(config.levels, config.codebook_size, dim))
        self.usage = nn.Buffer(torch.ones(config.levels, config.codebook_size))
        # the error of the memory that grows most, as far as it is known
        self.weakness = nn.Buffer(torch.full((config.memory, dim), (config.memory * dim) ** -0.5))

    def forward(
        self, latent: Tensor, levels: int | None = None, followers: int = 0, feedback: Tensor | None = None
    ) -> Quantized:
        """Quantize (B, T, C) with the first `levels` levels, by default all; in training as many as chance has it.

        In training gradients reach the latents straight through, and the codes and the prediction, too, but not for how
        well they tell the last `followers` rows: a human's latents are far from where codes tell finely, and would be
        all that codes and prediction attend to. That errors die away is seen to in all rows.
        """
        with torch.autocast(latent.device.type, enabled=False):
            latent = latent.float()
            if not self.training:
                codes, tokens = self._encode(latent, levels or self.config.levels, self.config.beam, feedback)
                return Quantized(codes, tokens, self.commitment * F.mse_loss(latent, codes))
            codes, tokens = self._encode(latent.detach(), self._levels_told(), self.config.training_beam)
            leading = len(latent) - followers
            target, chosen = latent[:leading].detach(), tokens[:leading]
            mean, deviation = self.prediction(self._memories(codes[:leading], tokens.shape[-1]))
            missed = (target - mean.detach()) / deviation
            coded = mean + deviation * self.told(chosen)
            weight = latent.new_ones(latent.shape[1], 1)
            weight[: self.config.memory] = ONSET_WEIGHT
            weight = weight / weight.mean()
            loss = (weight * (target - coded).square()).mean()
            loss = loss + LIKELIHOOD * (deviation.log() + missed.square() / 2).mean()
            excess = (self._growth(codes, tokens) - self.config.growth).relu() / (1 - self.config.growth)
            loss = loss + GROWTH_COST * excess.square().mean()
            # only now: what was told above is told by the codes that were chosen
            self._replace_dead_codes(missed.detach(), chosen)
            coded = torch.cat([coded, codes[leading:]])
            loss = loss + self.commitment * (weight * (latent - coded.detach()).square()).mean()
            return Quantized(coded + latent - latent.detach(), tokens, loss)

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Latents (B, T, C) of tokens (B, T, l) of the first l levels; a step depends on tokens up to its own."""
        told = self.told(tokens)
        memory = self._empty_memory(told)
        latents = []
        for step in told.unbind(1):
            latent, memory = self.decode_step(step, memory, tokens.shape[-1])
            latents.append(latent)
        return torch.stack(latents, 1) if latents else told

    @torch.no_grad()
    def decode_step(self, told: Tensor, memory: Tensor, levels: int) -> tuple[Tensor, Tensor]:
        """One step of `decode`: its latents (B, C), and the memory after it.

        Args:
            told: (B, C) of the step, as `told` has it.
            memory: (B, K, C + 1) what came of the step before, or the first of `begin`.
            levels: l, of the tokens.
        """
        mean, deviation = self.prediction(memory.flatten(1))
        latent = mean + deviation * told
        return latent.to(told), self._remember(memory, latent, levels)

    @torch.no_grad()
    def decode_next(self, tokens: Tensor, past: Tensor) -> Tensor:
        memory = self._empty_memory(past)
        known = self._marked(past[:, -self.reach :], tokens.shape[-1]).flip(1)
        memory[:, : known.shape[1]] = known
        return self.decode_step(self.told(tokens[:, None])[:, 0], memory, tokens.shape[-1])[0].to(past)

    @torch.no_grad()
    def place_codes(self, latents: Tensor) -> None:
        """Fit the linear prediction, and place the codes on what it leaves over, level after level."""
        variance = latents.flatten(0, 1).var(0)
        noise = (START_NOISE * variance.mean()).sqrt() * torch.randn_like(latents)
        memories = self._memories(latents + noise, self.config.levels).flatten(0, 1).double()
        target = latents.flatten(0, 1).double()
        ridge = RIDGE * len(memories) * torch.eye(memories.shape[1], dtype=torch.float64, device=latents.device)
        weight = torch.linalg.solve(memories.T @ memories + ridge, memories.T @ target)
        weight = self._steadied(weight)
        self.prediction.linear.weight.copy_(weight.T)
        nn.init.zeros_(self.prediction.linear.bias)
        # the network is to see small channels, too, but not the noise in them blown up
        least = (LEAST_SHARE * variance.mean()).clamp_min(1e-12)
        channel = torch.cat([variance.clamp_min(least).rsqrt(), variance.new_ones(1)])
        self.prediction.scale.copy_(channel.repeat(self.config.memory))
        missed = (target - memories @ weight).to(latents)
        deviation = missed.std(0)
        deviation = deviation.clamp_min(max(1e-6, LEAST_SHARE * float(deviation.mean())))
        self.prediction.log_deviation.copy_(deviation.log())
        # k-means over errors in the latents' own units, which is what the search goes by
        rest = missed[torch.randperm(len(missed), device=missed.device)[:PLACED_ON]]
        for codebook in self.codebooks:
            centres, _ = kmeans(rest[None], self.config.codebook_size, self.config.kmeans_iters)
            codebook.copy_(centres[0] / deviation)
            rest = rest - centres[0][torch.cdist(rest, centres[0]).argmin(1)]

    @torch.no_grad()
    def _encode(self, latent: Tensor, levels: int, beam: int, feedback: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Decoded latents (B, T, C) and tokens (B, T, levels): predict, search, remember, step after step."""
        state = self.begin(len(latent))
        codes, tokens = [], []
        for step in latent.unbind(1):
            code, chosen, state = self.encode_next(step, state, levels, feedback, beam=beam)
            codes.append(code)
            tokens.append(chosen)
        if not codes:
            return latent, torch.zeros(*latent.shape[:2], levels, dtype=torch.long, device=latent.device)
        return torch.stack(codes, 1), torch.stack(tokens, 1)

    def begin(self, rows: int) -> tuple[Tensor, ...]:
        """The memory (B, K, C + 1), and the sums (B, C) of what codes have missed of latents.

        Both in float64: rounding adds up from step to step, to where other machines find other codes nearest.
        """
        memory = self._empty_memory(self.codebooks.new_empty(rows))
        return memory, memory.new_zeros(rows, self.codebooks.shape[-1])

    @torch.no_grad()
    def expect(self, state: tuple[Tensor, ...], levels: int | None = None) -> tuple[Tensor, ...]:
        """Mean and deviation (B, C) of the latent, and what each code of each level costs by its size, (B, l, N)."""
        mean, deviation = self.prediction(state[0].flatten(1))
        codebooks = self.codebooks[:levels]
        sizes = deviation.square() @ codebooks.square().flatten(0, 1).T
        return mean, deviation, sizes.unflatten(1, codebooks.shape[:2])

    @torch.no_grad()
    def encode_next(
        self,
        latent: Tensor,
        state: tuple[Tensor, ...],
        levels: int | None = None,
        feedback: Tensor | None = None,
        expected: tuple[Tensor, ...] = (),
        beam: int | None = None,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """As told of every `Quantizer`; `beam`: candidates of the search, in place of those of use."""
        levels = levels or self.config.levels
        memory, missed = state
        mean, deviation, sizes = expected or self.expect(state, levels)
        target = latent if feedback is None else latent + missed @ feedback.to(missed).T
        told, chosen = self._search(
            ((target - mean) / deviation).to(latent), deviation.square(), sizes, beam or self.config.beam
        )
        code = mean + deviation * told
        return code.to(latent), chosen, (self._remember(memory, code, levels), missed + latent - code)

    def _search(self, target: Tensor, weight: Tensor, sizes: Tensor, beam: int) -> tuple[Tensor, Tensor]:
        """Sums of codes (B, C) and tokens (B, l) with a small sum over channels of weight * (target - sum)^2.

        Args:
            target, weight: (B, C).
            sizes: (B, l, N) the sum over channels of weight * code^2.
        """
        batch, levels, size = target.shape[0], *sizes.shape[1:]
        first = torch.arange(batch, device=target.device)[:, None]
        rest = target[:, None]  # of each candidate: (B, M, C)
        cost = (weight * target.square()).sum(-1, keepdim=True)
        found = []
        for level, codebook in enumerate(self.codebooks[:levels]):
            costs = (cost[..., None] + sizes[:, level, None]).flatten(0, 1)
            costs = torch.addmm(costs, (weight[:, None] * rest).flatten(0, 1), codebook.T, alpha=-2)
            cost, index = _least(costs.view(batch, -1), beam)
            found.append(index)
            parent = index // size + first * rest.shape[1]  # among all rows' candidates
            rest = rest.flatten(0, 1)[parent] - codebook[index % size]
        # back from the best candidate to what it came from
        tokens, best = [], torch.zeros_like(first)
        for index in reversed(found):
            chosen = index.gather(1, best)
            tokens.append(chosen % size)
            best = chosen // size
        chosen = torch.cat(tokens[::-1], 1)
        # the codes and not what they leave over, as decoders have it
        return self.codebooks[torch.arange(levels, device=chosen.device), chosen].sum(1), chosen

    def told(self, tokens: Tensor) -> Tensor:
        """(B, T, C) sums of the codes of tokens (B, T, l), in deviations."""
        told = self.codebooks.new_zeros(*tokens.shape[:2], self.codebooks.shape[-1])
        for level in range(tokens.shape[-1]):
            told = told + F.embedding(tokens[..., level], self.codebooks[level])
        return told

    def _levels_told(self) -> int:
        least, most = self.config.least_levels, self.config.levels
        # by torch's generator on the CPU: processes of one training draw the same
        if not least or torch.rand(()) < FULL_SHARE:
            return most
        return int(torch.randint(least, most + 1, ()))

    def _memories(self, codes: Tensor, levels: int) -> Tensor:
        """(B, T, K (C + 1)) the memory before each step of decoded latents (B, T, C)."""
        marked = self._marked(codes, levels)
        before = F.pad(marked, (0, 0, self.config.memory, 0))
        steps = codes.shape[1]
        return torch.cat(
            [before[:, self.config.memory - 1 - back :][:, :steps] for back in range(self.config.memory)], -1
        )

    def _empty_memory(self, like: Tensor) -> Tensor:
        shape = len(like), self.config.memory, self.codebooks.shape[-1] + 1
        return torch.zeros(shape, dtype=torch.float64, device=like.device)

    def _remember(self, memory: Tensor, code: Tensor, levels: int) -> Tensor:
        return torch.cat([self._marked(code[:, None], levels), memory[:, :-1]], 1)

    def _marked(self, codes: Tensor, levels: int) -> Tensor:
        return F.pad(codes, (0, 1), value=levels / self.config.levels)

    def _steadied(self, weight: Tensor) -> Tensor:
        """A linear prediction (K (C + 1), C) whose errors die away: older steps count the less, as far as need be.

        All poles of the recursion are drawn towards zero by one factor (bandwidth expansion: Makhoul 1975, "Linear
        Prediction: A Tutorial Review").
        """
        memory, dim = self.config.memory, weight.shape[1]
        lags = weight.unflatten(0, (memory, dim + 1))
        companion = torch.zeros(memory * dim, memory * dim, dtype=weight.dtype, device=weight.device)
        companion[:dim] = lags[:, :dim].flatten(0, 1).T
        companion[dim:, :-dim] = torch.eye((memory - 1) * dim, dtype=weight.dtype, device=weight.device)
        factor = min(1.0, self.config.growth / float(torch.linalg.eigvals(companion).abs().max().clamp_min(1e-9)))
        return (lags * factor ** torch.arange(1, memory + 1, device=weight.device)[:, None, None]).flatten(0, 1)

    def _growth(self, codes: Tensor, tokens: Tensor) -> Tensor:
        """(R,) by how much an error of the memory grows a step, in some of the sequences.

        It is of the kind that grows most, found by power iteration: what the fastest has become is most of what the
        next call begins with.

        Args:
            codes: (B, T, C) decoded latents.
            tokens: (B, T, l) their tokens.
        """
        memory, levels = self.config.memory, tokens.shape[-1]
        steps = min(TURNING_STEPS + GROWTH_STEPS, codes.shape[1] - memory)
        turning = min(TURNING_STEPS, steps - 1)
        if steps < 1 or not len(codes):
            return codes.new_zeros(1)
        # as many numbers drawn, however many rows there are: processes of one training go on to draw the same
        begin = int(torch.randint(memory, codes.shape[1] - steps + 1, ()))
        looked_at = min(GROWTH_ROWS, len(codes))
        rows = torch.arange(looked_at, device=codes.device) * len(codes) // looked_at
        told = self.told(tokens[rows, begin : begin + steps]).detach()
        before = self._marked(codes[rows, begin - memory : begin], levels).flip(1)
        # robots' rows stand before humans': now these have the small errors, now those
        size = torch.logspace(*ERROR_SIZES, looked_at, device=codes.device).roll(begin)
        # a little of every kind, for what grows in one sequence may be none of what does in another
        other = torch.randn(self.weakness.shape).to(self.weakness) / self.weakness.numel() ** 0.5
        kind = F.normalize((self.weakness + OTHER_KINDS * other).flatten(), dim=0).view_as(self.weakness)
        memories = torch.cat([before, before + F.pad(size[:, None, None] * kind, (0, 1))])

        def step_on(memories: Tensor, step: int) -> Tensor:
            mean, deviation = self.prediction(memories.flatten(1))
            return self._remember(memories, mean + deviation * told[:, step].repeat(2, 1), levels)

        def error(memories: Tensor) -> Tensor:
            undisturbed, disturbed = memories[..., :-1].chunk(2)
            return (disturbed - undisturbed).flatten(1)

        with torch.no_grad():
            for step in range(turning):
                memories = step_on(memories, step)
            # an error that died away to what rounding makes of latents does not grow
            least = 1e-12 * (size.square() + before.square().sum((1, 2)))
            at_first = error(memories).square().sum(1) + least
        # both ways with gradients: their difference is what is to shrink, not that they end elsewhere
        for step in range(turning, steps):
            memories = step_on(memories, step)
        at_last = error(memories)
        # the least error keeps the root's slope finite, too
        growth = ((at_last.square().sum(1) + 1e-12 * least) / at_first) ** (0.5 / (steps - turning))
        with torch.no_grad():
            became = F.normalize(at_last[growth.argmax()], dim=0).view_as(self.weakness)
            # an error that has died away says nothing of others
            self.weakness.copy_(torch.where(became.any(), became, self.weakness))
        return growth

    @torch.no_grad()
    def _replace_dead_codes(self, missed: Tensor, tokens: Tensor) -> None:
        """Codes hardly used of late are put where a latent's rest now is, and usage is counted on.

        Args:
            missed: (B, T, C) latents less their prediction, in deviations.
        """
        told = tokens.shape[-1]
        distributed = dist.is_available() and dist.is_initialized()
        dead = (self.usage < self.config.dead_code_threshold).cpu()
        dead[told:] = False
        rest = missed.flatten(0, 1)
        for level, codebook in enumerate(self.codebooks[:told]):
            rows = dead[level].nonzero()[:, 0]
            if len(rows):
                candidates = rest[torch.randint(len(rest), (len(rows),))]
                if distributed:
                    dist.broadcast(candidates, 0)
                codebook[rows] = candidates
                self.usage[level, rows] = 1.0
            chosen = tokens[..., level].flatten()
            rest = rest - codebook[chosen]
            counts = torch.bincount(chosen, minlength=len(codebook)).to(self.usage)
            if distributed:  # the processes share a batch
                dist.all_reduce(counts)
            self.usage[level].lerp_(counts, 1 - self.config.decay)


def _least(costs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` least of each row (B, N), and where they stand, the least first; all of them where there are fewer.

    They are in the `count` groups whose least is least; of a search's costs that is a small part.
    """
    count = min(count, costs.shape[1])
    if costs.numel() < FEW or costs.shape[1] % GROUP or costs.shape[1] < 2 * GROUP * count:
        return costs.topk(count, largest=False)
    groups = costs.view(costs.shape[0], GROUP, -1)
    kept = groups.amin(1).topk(count, largest=False).indices
    cost, index = groups.gather(2, kept[:, None].expand(-1, GROUP, -1)).flatten(1).topk(count, largest=False)
    return cost, index // count * groups.shape[2] + kept.gather(1, index % count)
