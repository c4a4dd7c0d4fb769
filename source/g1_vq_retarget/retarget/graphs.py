"""The parts of a trained model as functions of tensors alone, in features' own units: what is exported.

A trace of a recursion would hold as many steps as its example had. So what goes from step to step of a clip is told
apart, as one step and what is before and after all of them; loops are scripted around the traced step, or built.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models import DualEncoderVQVAE, Quantized, Quantizer
from g1_vq_retarget.models.predictive import PredictiveResidual
from g1_vq_retarget.models.streaming import StreamingStep
from g1_vq_retarget.training.checkpoint import Checkpoint

Part = Literal["human_encoder", "robot_encoder", "decoder", "retarget", "step"]
PARTS: tuple[Part, ...] = get_args(Part)
# How inputs and outputs are called that go from step to step.
STATE = "state_"
# Sizes of the examples that traces are made of. What comes of them is for any other.
EXAMPLE = {"batch": 2, "frames": 24, "steps": 6}


@dataclass(frozen=True)
class Port:
    """A tensor that goes in or comes out.

    Attributes:
        name: of the input or output.
        shape: axes that are named instead of counted may be of any size.
        dtype: as numpy calls it.
        holds: what it is.
    """

    name: str
    shape: tuple[str | int, ...]
    dtype: str
    holds: str

    @property
    def free_axes(self) -> dict[int, str]:
        """Axes of any size, and their names."""
        return {axis: size for axis, size in enumerate(self.shape) if isinstance(size, str)}

    def example(self) -> Tensor:
        """Zeros of its shape, free axes as in `EXAMPLE`."""
        shape = [size if isinstance(size, int) else EXAMPLE[size] for size in self.shape]
        return torch.zeros(shape, dtype=getattr(torch, self.dtype))

    def to_dict(self) -> dict:
        return {**asdict(self), "shape": list(self.shape)}


@dataclass(frozen=True)
class Recursion:
    """A part that goes from step to step.

    Attributes:
        before: inputs to (B, T, C), all steps at once.
        step: (B, C) of a step and the state to what the step gives, and the state after it.
        begin: the state before the first step, of one row.
        loop: (B, T, C) to what all steps give, (B, T, …) each; a scripted loop over `step`.
        after: what all steps give, and the inputs, to the outputs.
    """

    before: nn.Module
    step: nn.Module
    begin: tuple[Tensor, ...]
    loop: nn.Module
    after: nn.Module


class Whole(nn.Module):
    """A recursion from beginning to end."""

    def __init__(self, recursion: Recursion) -> None:
        super().__init__()
        self.before, self.loop, self.after = recursion.before, recursion.loop, recursion.after

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        told = self.loop(self.before(*inputs))
        return self.after(*(told if isinstance(told, tuple) else (told,)), *inputs)


@dataclass(frozen=True)
class Graph:
    """A part of a model, and what goes in and out, in order."""

    body: nn.Module | Recursion
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @torch.no_grad()
    def script(self) -> torch.jit.ScriptModule:
        """The part as TorchScript, without what of the model it does not use."""
        body = Whole(self.body) if isinstance(self.body, Recursion) else self.body
        example = tuple(port.example() for port in self.inputs)
        return torch.jit.freeze(_traced(body.eval(), example))


def parts_of(checkpoint: Checkpoint) -> tuple[Part, ...]:
    """The parts that a model has: none for humans where it knows none, no single step where it looks ahead."""
    absent: set[Part] = set() if checkpoint.info["human_windows"] else {"human_encoder", "retarget", "step"}
    if not checkpoint.model.causal:
        absent.add("step")
    return tuple(part for part in PARTS if part not in absent)


@torch.no_grad()
def graph_of(checkpoint: Checkpoint, part: Part, levels: int | None = None) -> Graph:
    """A part of a model as a graph.

    Args:
        part: one of `parts_of`.
        levels: only so many tokens a step, for a lower rate; by default all.

    Raises:
        UserError: the model searches in a way that cannot be traced.
    """
    model, spec = checkpoint.model, checkpoint.spec
    levels = levels or len(model.quantizer.codebook_sizes)
    vocabulary = model.config.quantizer
    if vocabulary.kind != "predictive" and vocabulary.beam > 1 and part != "decoder":
        # the library's search holds as many steps as its example had
        raise UserError(
            f"{checkpoint.path}: {vocabulary.kind} cannot be exported with a beam of {vocabulary.beam}, but for its "
            "decoder; set model.quantizer.beam to 1 and train again"
        )
    tokens = Port("tokens", ("batch", "steps", levels), "int64", "codes of each level, from 0")
    robot = Port("robot", ("batch", "frames", len(spec.robot_mean)), "float32", "robot_columns of each frame")
    human = Port("human", ("batch", "frames", len(spec.human_mean)), "float32", "human_columns of each frame")
    if part == "human_encoder":
        return Graph(_coded(model, _HumanLatent(model, spec), _Tokens(), levels), (human,), (tokens,))
    if part == "robot_encoder":
        return Graph(_coded(model, _RobotLatent(model, spec), _Tokens(), levels), (robot,), (tokens,))
    if part == "decoder":
        return Graph(_decoded(model, _Motion(model, spec), levels), (tokens,), (robot,))
    if part == "retarget":
        after = _MotionAndTokens(_Motion(model, spec))
        return Graph(_coded(model, _HumanLatent(model, spec), after, levels), (human,), (robot, tokens))
    step = StreamingStep(model, levels)
    return Graph(_Step(step, spec), *_ports_of_step(step, human, robot, tokens))


def _ports_of_step(
    step: StreamingStep, human: Port, robot: Port, tokens: Port
) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    frames = step.model.downsample
    known = "velocities those since the frame before, human_mean at the first frame"
    human = Port("human", ("batch", frames, human.shape[-1]), "float32", f"{human.holds}, {known}")
    robot = Port("robot", ("batch", frames, robot.shape[-1]), "float32", robot.holds)
    tokens = Port("tokens", ("batch", tokens.shape[-1]), "int64", tokens.holds)
    holds = "what came of the step before; zeros at the first"
    state = [
        Port(f"{STATE}{at}", ("batch", *one.shape[1:]), str(one.dtype).removeprefix("torch."), holds)
        for at, one in enumerate(step.begin())
    ]
    after = [Port(f"next_{port.name}", port.shape, port.dtype, f"{port.name} of the next step") for port in state]
    return (human, *state), (robot, tokens, *after)


def _coded(model: DualEncoderVQVAE, before: nn.Module, after: nn.Module, levels: int) -> nn.Module | Recursion:
    """Features to latents, quantized, and on from codes, tokens and features."""
    quantizer = model.quantizer
    if not isinstance(quantizer, PredictiveResidual):
        return _Coded(before, quantizer, after, levels)
    memory, missed = quantizer.begin(EXAMPLE["batch"])
    step = _EncodeStep(model, levels)
    traced = _traced(step, (missed.float(), memory, missed))
    begin = quantizer.begin(1)
    return Recursion(before, step, begin, torch.jit.script(_EncodeLoop(traced, *begin)), after)


def _decoded(model: DualEncoderVQVAE, after: nn.Module, levels: int) -> nn.Module | Recursion:
    """Tokens to latents, and on from latents and tokens."""
    quantizer = model.quantizer
    if not isinstance(quantizer, PredictiveResidual):
        return _Decoded(quantizer, after)
    memory, missed = quantizer.begin(EXAMPLE["batch"])
    step = _DecodeStep(quantizer, levels)
    traced = _traced(step, (missed.float(), memory))
    begin = quantizer.begin(1)[:1]
    return Recursion(_Told(quantizer), step, begin, torch.jit.script(_DecodeLoop(traced, *begin)), after)


def _traced(module: nn.Module, example: tuple[Tensor, ...]) -> torch.jit.ScriptModule:
    # the check would only run the example again
    traced = torch.jit.trace(module.eval(), example, check_trace=False)
    assert isinstance(traced, torch.jit.ScriptModule)
    return traced


class _Scale(nn.Module):
    """Features in their own units to normalised ones, and back."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.tensor(mean))
        self.std = nn.Buffer(torch.tensor(std))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.std

    def back(self, features: Tensor) -> Tensor:
        return features * self.std + self.mean


class _HumanLatent(nn.Module):
    def __init__(self, model: DualEncoderVQVAE, spec: FeatureSpec) -> None:
        super().__init__()
        self.model = model
        self.scale = _Scale(spec.human_mean, spec.human_std)

    def forward(self, human: Tensor) -> Tensor:
        return self.model.human_latent(self.model.fill(self.scale(human)))


class _RobotLatent(nn.Module):
    def __init__(self, model: DualEncoderVQVAE, spec: FeatureSpec) -> None:
        super().__init__()
        self.model = model
        self.scale = _Scale(spec.robot_mean, spec.robot_std)

    def forward(self, robot: Tensor) -> Tensor:
        return self.model.robot_latent(self.model.fill(self.scale(robot)))


class _Tokens(nn.Module):
    def forward(self, codes: Tensor, tokens: Tensor, features: Tensor) -> Tensor:
        return tokens


class _Motion(nn.Module):
    """Latents (B, T', C) of tokens (B, T', L) to robot features."""

    def __init__(self, model: DualEncoderVQVAE, spec: FeatureSpec) -> None:
        super().__init__()
        self.model = model
        self.scale = _Scale(spec.robot_mean, spec.robot_std)

    def forward(self, latent: Tensor, tokens: Tensor) -> Tensor:
        return self.scale.back(self.model.motion_of(Quantized(latent, tokens, latent.new_zeros(()))))


class _MotionAndTokens(nn.Module):
    """As many frames as there are of the human's, and the tokens."""

    def __init__(self, motion: _Motion) -> None:
        super().__init__()
        self.motion = motion

    def forward(self, latent: Tensor, tokens: Tensor, human: Tensor) -> tuple[Tensor, Tensor]:
        return self.motion(latent, tokens)[:, : human.shape[1]], tokens


class _Step(nn.Module):
    def __init__(self, step: StreamingStep, spec: FeatureSpec) -> None:
        super().__init__()
        self.step = step
        self.human = _Scale(spec.human_mean, spec.human_std)
        self.robot = _Scale(spec.robot_mean, spec.robot_std)

    def forward(self, human: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        robot, *others = self.step(self.human(human), *state)
        return self.robot.back(robot), *others


class _Coded(nn.Module):
    """With a quantizer whose steps know nothing of one another."""

    def __init__(self, before: nn.Module, quantizer: Quantizer, after: nn.Module, levels: int) -> None:
        super().__init__()
        self.before, self.quantizer, self.after = before, quantizer, after
        self.levels = levels

    def forward(self, features: Tensor) -> Tensor | tuple[Tensor, ...]:
        quantized = self.quantizer(self.before(features), self.levels)
        return self.after(quantized.latent, quantized.tokens, features)


class _Decoded(nn.Module):
    """As `_Coded`."""

    def __init__(self, quantizer: Quantizer, after: nn.Module) -> None:
        super().__init__()
        self.quantizer, self.after = quantizer, after

    def forward(self, tokens: Tensor) -> Tensor:
        return self.after(self.quantizer.decode(tokens), tokens)


class _Told(nn.Module):
    def __init__(self, quantizer: PredictiveResidual) -> None:
        super().__init__()
        self.quantizer = quantizer

    def forward(self, tokens: Tensor) -> Tensor:
        return self.quantizer.told(tokens)


class _EncodeStep(nn.Module):
    """As `encode_next` of a predictive quantizer."""

    def __init__(self, model: DualEncoderVQVAE, levels: int) -> None:
        super().__init__()
        self.quantizer = model.quantizer
        self.levels = levels
        feedback = model.feedback()
        self.feedback = None if feedback is None else nn.Buffer(feedback)

    def forward(self, latent: Tensor, memory: Tensor, missed: Tensor) -> tuple[Tensor, ...]:
        code, tokens, state = self.quantizer.encode_next(latent, (memory, missed), self.levels, self.feedback)
        return code, tokens, *state


class _DecodeStep(nn.Module):
    """As `decode_step` of a predictive quantizer."""

    def __init__(self, quantizer: PredictiveResidual, levels: int) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.levels = levels

    def forward(self, told: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.quantizer.decode_step(told, memory, self.levels)


class _EncodeLoop(nn.Module):
    """Step after step: latents (B, T, C) to codes (B, T, C) and tokens (B, T, L)."""

    def __init__(self, step: nn.Module, memory: Tensor, missed: Tensor) -> None:
        super().__init__()
        self.step = step
        self.memory = nn.Buffer(memory)
        self.missed = nn.Buffer(missed)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        memory = self.memory.expand(latent.shape[0], -1, -1)
        missed = self.missed.expand(latent.shape[0], -1)
        codes: list[Tensor] = []
        tokens: list[Tensor] = []
        for at in range(latent.shape[1]):
            code, chosen, memory, missed = self.step(latent[:, at], memory, missed)
            codes.append(code)
            tokens.append(chosen)
        return torch.stack(codes, 1), torch.stack(tokens, 1)


class _DecodeLoop(nn.Module):
    """Step after step: sums of codes (B, T, C) to latents (B, T, C)."""

    def __init__(self, step: nn.Module, memory: Tensor) -> None:
        super().__init__()
        self.step = step
        self.memory = nn.Buffer(memory)

    def forward(self, told: Tensor) -> Tensor:
        memory = self.memory.expand(told.shape[0], -1, -1)
        latents: list[Tensor] = []
        for at in range(told.shape[1]):
            latent, memory = self.step(told[:, at], memory)
            latents.append(latent)
        return torch.stack(latents, 1)
