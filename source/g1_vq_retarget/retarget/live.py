"""Human frames in one at a time, robot frames out: retargeting of motion while it happens."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from g1_vq_retarget.data.features import RootStart
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models.streaming import StreamingStep
from g1_vq_retarget.motion import HumanClip, MotionError
from g1_vq_retarget.motion.root import integrate_root
from g1_vq_retarget.motion.skeleton import leg_length
from g1_vq_retarget.training.checkpoint import Checkpoint, load_checkpoint

# Legs of less are a mistake, m.
SHORTEST_LEGS = 0.2
# What is further from the average human, in deviations, is none: another unit, or an actor who leapt by 10 m.
# Errors of codes are summed, and one such frame would be all that is told from then on.
FARTHEST = 1000.0
# Calls in which torch makes a traced program fast: they would hold up the first frames.
OPTIMISED_AFTER = 3


class HumanFrame(NamedTuple):
    """One frame of a `HumanClip`.

    Attributes:
        root_pos_w: (3,) m, z up.
        root_quat_w: (4,) wxyz, SMPL's pelvis frame (x left, y up, z forward) to the world.
        joint_quat: (21, 4) wxyz, local rotations in `HUMAN_JOINTS[1:]` order.
    """

    root_pos_w: np.ndarray
    root_quat_w: np.ndarray
    joint_quat: np.ndarray

    @classmethod
    def of(cls, clip: HumanClip, index: int) -> Self:
        """One frame of a clip."""
        return cls(clip.root_pos_w[index], clip.root_quat_w[index], clip.joint_quat[index])


class RobotFrame(NamedTuple):
    """One frame of a `RobotClip`.

    Attributes:
        root_pos_w: (3,) m.
        root_quat_w: (4,) wxyz.
        joint_pos: (J,) rad, not yet held at limits.
    """

    root_pos_w: np.ndarray
    root_quat_w: np.ndarray
    joint_pos: np.ndarray


def live_checkpoint(checkpoint: str | Path, levels: int | None = None, beam: int | None = None) -> Checkpoint:
    """A checkpoint that can be used live, so many tokens a step, so many candidates of the search.

    Raises:
        UserError: no usable checkpoint there, or one of a model that looks ahead, codes no root, or knows no humans;
            or it does not have as many levels, or has nothing to search.
    """
    loaded = load_checkpoint(Path(checkpoint))
    if not loaded.model.causal:
        raise UserError(
            f"{loaded.path}: its model looks ahead; for live motion train config/vq/causal_60ms.yaml or causal_0ms"
        )
    if not loaded.spec.root or not loaded.info["human_windows"]:
        lacks = "human motion" if loaded.spec.root else "the root"
        raise UserError(f"{loaded.path}: was trained without {lacks}, which live motion needs")
    loaded.check_levels(levels)
    loaded.search_with(beam)
    return loaded


class LiveRetargeter:
    """A causal model, ready for an actor who is moving. One frame a tick of 1 / fps.

        live = LiveRetargeter("runs/causal_60ms", clip.rest_offsets)
        for frame in frames:
            robot = live.push(frame)

    Robot frame t comes with human frame t + `lookahead`, and is the one that `Retargeter.retarget` gives of the whole,
    but for rounding. The robot starts where `Retargeter.encode` has it start.

    Args:
        checkpoint: a run folder (its best checkpoint) or a .safetensors file, of a causal preset.
        rest_offsets: (22, 3) m, the actor's skeleton, as in `HumanClip`.
        device: where the network runs.
        levels: only so many tokens a step, for a lower rate.
        beam: candidates of the search, in place of the model's own.

    Attributes:
        fps: rate of the frames, in and out.
        joint_names: J, in the order of the robot frames' joints.
        lookahead: frames that a robot frame is later than the human's.
        robot: link table of the robot.
        tokens: (levels,) of the latest step.

    Raises:
        UserError: as `live_checkpoint`; or legs too short to be a human's.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        rest_offsets: np.ndarray,
        device: str = "cpu",
        levels: int | None = None,
        beam: int | None = None,
    ) -> None:
        loaded = live_checkpoint(checkpoint, levels, beam)
        self.spec, self.path = loaded.spec, loaded.path
        if not leg_length(np.asarray(rest_offsets, float)) > SHORTEST_LEGS:
            raise UserError(f"rest_offsets: legs shorter than {SHORTEST_LEGS} m are no human's; give offsets in m")
        robot, rates = loaded.spec.robot_model(), loaded.model.rates
        assert robot is not None  # human motion is only paired with a robot whose links are known
        assert rates is not None  # it codes the root
        self.robot = robot
        self.device = device
        self.step = StreamingStep(loaded.model, levels).to(device)
        self.fps = loaded.spec.fps
        self.joint_names = tuple(loaded.spec.joint_names)
        self.lookahead = loaded.model.downsample - 1
        self.tokens = np.zeros(0, int)
        self._rates = len(rates.velocities)  # at the end of a human's features, as of a robot's
        self._rest_offsets = np.asarray(rest_offsets, float)
        self._mean, self._deviation = np.asarray(loaded.spec.robot_mean), np.asarray(loaded.spec.robot_std)
        self._start: RootStart | None = None
        human = torch.zeros(1, self.lookahead + 1, len(loaded.spec.human_mean), device=device)
        self._beginning = self.step.begin()
        # where every frame has its answer, there is no time before it, and in pieces it would take the longer
        self._beforehand = [self._foretell] if self.lookahead else []
        self.reset()
        self._traced = _traced(self.step, human, self._beginning, bool(self._beforehand))

    def reset(self) -> None:
        """The next frame is the first of a motion; the robot goes on from where it stands, facing as it does."""
        state, answering = list(self._beginning), self.step.answering
        self._answering, self._looking = state[:answering], state[answering:]
        self._foretold: tuple[torch.Tensor, ...] = ()
        self._undone: deque[Callable[[], None]] = deque(self._beforehand)
        self._last: HumanFrame | None = None
        self._rows: list[np.ndarray] = []
        self._ready: deque[np.ndarray] = deque()

    def push(self, frame: HumanFrame) -> RobotFrame | None:
        """The robot's frame of `lookahead` frames ago; None for the first so many after a reset.

        Raises:
            MotionError: a value that is no finite number, a quaternion that is none, or values that are no human's: the
                frame is as if it had not been there. Or the model's answer is no finite number: a reset goes with it.
        """
        self._rows.append(self._known(frame))
        self._last = frame
        complete = len(self._rows) > self.lookahead
        # what the past alone decides is done a little at a frame, so that the one that completes a step is the quicker
        while self._undone:
            self._undone.popleft()()
            if not complete:
                break
        if complete:
            self._answer(torch.tensor(np.stack(self._rows)[None], dtype=torch.float32, device=self.device))
            self._rows.clear()
        return self._placed(self._ready.popleft()) if self._ready else None

    def _answer(self, human: torch.Tensor) -> None:
        """Robot frames of a step of human features (1, lookahead + 1, H), to be sent one by one.

        Raises:
            MotionError: as `push`.
        """
        with torch.inference_mode():
            motion, tokens, latent, *remembered = self._traced.answer(human, *self._answering, *self._foretold)
        if not torch.isfinite(motion).all():  # nor will what the network remembers be, ever again
            self.reset()
            raise MotionError("the model's answer is no finite number; what went before is forgotten")
        self._answering[1:] = remembered
        self._undone.extend([*self._beforehand, partial(self._look_back, human, latent)])
        self._ready.extend(motion[0].cpu().numpy().astype(np.float64))
        self.tokens = tokens[0].cpu().numpy()

    def _foretell(self) -> None:
        with torch.inference_mode():
            self._foretold = self._traced.foretell(*self._answering[1:])

    def _look_back(self, human: torch.Tensor, latent: torch.Tensor) -> None:
        with torch.inference_mode():
            self._answering[0], *self._looking = self._traced.look_back(human, latent, *self._looking)

    def _known(self, frame: HumanFrame) -> np.ndarray:
        """(H,) features of a frame, its velocities those of the frame before; average ones at the beginning."""
        frames = [frame if self._last is None else self._last, frame]
        clip = HumanClip(
            name="live",
            fps=self.fps,
            root_pos_w=np.stack([one.root_pos_w for one in frames]).astype(float),
            root_quat_w=np.stack([one.root_quat_w for one in frames]).astype(float),
            joint_quat=np.stack([one.joint_quat for one in frames]).astype(float),
            rest_offsets=self._rest_offsets,
        )
        before, now = self.spec.human_features(clip)
        now[-self._rates :] = 0.0 if self._last is None else before[-self._rates :]
        if (farthest := float(np.abs(now).max())) > FARTHEST:
            raise MotionError(
                f"{farthest:.0f} deviations from the average human, more than {FARTHEST:.0f}: is it in m?"
            )
        if self._start is None:
            self._start = RootStart.after(clip, self.robot)
        return now

    def _placed(self, features: np.ndarray) -> RobotFrame:
        """The pose that robot features (D,) tell, and on to where its velocities lead."""
        assert self._start is not None
        # as `FeatureSpec.robot_clip`, without looking names and shapes over at every frame
        values = features * self._deviation + self._mean
        joints, root = values[: self.spec.joints], values[self.spec.joints :]
        start = self._start
        here_and_next = np.stack([root, root])
        pos, rotation = integrate_root(here_and_next, self.fps, (start.x, start.y), start.yaw, self.spec.orientation)
        x, y, _ = pos[1]
        self._start = replace(start, x=float(x), y=float(y), yaw=start.yaw + root[-1] / self.fps)
        return RobotFrame(pos[0], rotation[0].as_quat(scalar_first=True), joints)


def _traced(step: StreamingStep, human: torch.Tensor, state: tuple[torch.Tensor, ...], beforehand: bool) -> Any:
    """Its parts as programs: a step is a thousand small operations, and half its time is Python's between them.

    Args:
        human: features of the shape that there will be.
        state: what it begins with.
        beforehand: whether answers are foretold.
    """
    answering, looking = state[: step.answering], state[step.answering :]
    with torch.inference_mode():
        foretold = step.foretell(*answering[1:]) if beforehand else ()
        latent = step.answer(human, *answering)[2]
    examples = {"answer": (human, *answering, *foretold), "look_back": (human, latent, *looking)}
    if beforehand:
        examples["foretell"] = answering[1:]
    with warnings.catch_warnings():
        # that shapes are taken for constants, as here they are, and that TorchScript is no longer worked on
        warnings.simplefilter("ignore")
        traced: Any = torch.jit.trace_module(step.eval(), examples, check_trace=False)
        # frozen, what depends on weights alone is computed once
        traced = torch.jit.freeze(traced, preserved_attrs=list(examples))
    with torch.inference_mode():
        for _ in range(OPTIMISED_AFTER):
            for name, example in examples.items():
                getattr(traced, name)(*example)
    return traced
