"""How well a policy tracks motion: from many starts in every clip, until it fails or some seconds are over.

No simulator is known here: one is anything that can put robots on frames of clips and take steps
(`TrackingSimulation`), so that the same policy is measured by the same code in each.

A robot begins exactly where the motion is at frame f. At step k the policy sees the motion at f + k, and where the step
ends the robot is compared with that frame. It has failed when a termination of the training task says so (`failures`),
or when its state is no number. Errors are means over a start's steps up to that one, then over starts: a policy that
falls at once has few and small ones, so they mean something beside the share of success only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.robot import RobotModel, index_by_name, load_robot
from g1_vq_retarget.tasks.mdp import BEYONDMIMIC, relative_body_poses
from g1_vq_retarget.tasks.motion_library import MotionLibrary

# What ends a start besides the terminations: the simulation has blown up.
DIVERGED = "diverged"
# Errors of one number a start, as `Evaluation` names them.
ERRORS = ("joint_deg", "velocity_m_s", "acceleration_m_s2")


@dataclass
class EvaluationConfig:
    """From where a policy is looked at, and how long."""

    starts: int = 100
    """Starts in each clip, drawn uniformly from the frames that leave time for all of the horizon."""
    seconds: float = 10.0
    """Horizon. A shorter clip is followed once, from its first frame to its last but one."""
    seed: int = 0
    """Of the starts; nothing else is random."""

    def __post_init__(self) -> None:
        if self.starts < 1 or not (math.isfinite(self.seconds) and self.seconds > 0):
            raise UserError(
                f"evaluation: starts must be at least 1 and seconds positive, "
                f"they are {self.starts} and {self.seconds:g}"
            )


class RobotState(NamedTuple):
    """Where robots are, joints and bodies in a library's order and its world (an environment's own origin).

    Attributes:
        joint_pos: (N, J) rad.
        body_pos_w, body_quat_w: (N, L, 3) m, (N, L, 4) w x y z, of the links' origins.
    """

    joint_pos: Tensor
    body_pos_w: Tensor
    body_quat_w: Tensor


class TrackingSimulation(Protocol):
    """Robots of a simulator, without noise, pushes or anything else at random."""

    @property
    def num_envs(self) -> int:
        """How many robots there are."""
        ...

    def begin(self, clip: Tensor, frame: Tensor) -> tuple[Any, RobotState]:
        """Put robots exactly on frames (N,) of clips (N,) of the library that the policy follows.

        Returns:
            What the policy sees, with the motion a frame further; where the robots are.
        """
        ...

    def step(self, actions: Tensor) -> tuple[Any, RobotState]:
        """One step of the policy's; the motion is then a frame further again."""
        ...


class Starts(NamedTuple):
    """Where to begin: clip, frame and steps to take, (S,) int64 each."""

    clip: Tensor
    frame: Tensor
    steps: Tensor


def draw_starts(lengths: Mapping[str, int], fps: float, config: EvaluationConfig) -> Starts:
    """The starts in clips, clip after clip; the same seed gives the same on any device.

    Args:
        lengths: frames of each clip, by its name.
        fps: of all clips.
        config: how many starts, and how long.

    Raises:
        UserError: a clip is too short to take a step in.
    """
    horizon, random = max(1, round(config.seconds * fps)), torch.Generator().manual_seed(config.seed)
    clips, frames, steps = list[Tensor](), list[Tensor](), list[Tensor]()
    for clip, (name, length) in enumerate(lengths.items()):
        # the motion is always looked at a frame ahead, so the last frame is never a step's end
        room = length - 2 - horizon
        count = config.starts if room > 0 else 1
        if length < 3:
            raise UserError(f"evaluation: clip '{name}' has {length} frames, expected 3 at least")
        clips.append(torch.full((count,), clip))
        frames.append((torch.rand(count, generator=random, dtype=torch.float64) * (max(room, 0) + 1)).long())
        steps.append(torch.full((count,), min(horizon, length - 2)))
    return Starts(torch.cat(clips), torch.cat(frames), torch.cat(steps))


def failures(motion: RobotState, robot: RobotState, anchor: int, ends: Sequence[int]) -> dict[str, Tensor]:
    """(N,) bool by termination: has the robot failed to be where the motion is?

    Args:
        motion, robot: at the same time.
        anchor: index of the anchor among the bodies.
        ends: indices of feet and hands.
    """
    anchors = tuple(state[:, anchor] for state in (motion.body_pos_w, motion.body_quat_w))
    robots = tuple(state[:, anchor] for state in (robot.body_pos_w, robot.body_quat_w))
    there = relative_body_poses(motion.body_pos_w, motion.body_quat_w, *anchors, *robots).pos_w[:, list(ends)]
    of = {
        "anchor_pos": (anchors[0], robots[0]),
        "anchor_ori": (anchors[1], robots[1]),
        "ee_body_pos": (there, robot.body_pos_w[:, list(ends)]),
    }
    return {name: term.function(*of[name], term.threshold) for name, term in BEYONDMIMIC.terminations.items()}


def thresholds() -> dict[str, float]:
    """Of `failures`: height of the anchor, m; its lean, as a difference of gravity's share; height of an end, m."""
    return {name: term.threshold for name, term in BEYONDMIMIC.terminations.items()}


@dataclass(frozen=True)
class Evaluation:
    """What came of S starts in C clips.

    Attributes:
        clips: C names.
        fps: steps a second.
        config: of the starts.
        body_names: L names.
        reasons: what a start can have ended by.
        starts: where they were, S.
        steps: (S,) steps until the end of the horizon or the failure, that step included.
        failed_by: (S,) index into `reasons`, -1 where all of the horizon was survived.
        global_mm: (S, L) mean distance of each body from the motion's, mm, in the world.
        relative_mm: (S, L) the same after the motion was moved to the robot's anchor along the floor and to its heading
            (mjlab's root-relative error).
        errors: of one number a start, (S,) each, by the names in `ERRORS`: mean absolute joint error, degrees; mean
            distance of the bodies' velocities and accelerations, by differences of their places from frame to frame,
            m/s and m/s²; NaN where a start has too few steps.
    """

    clips: tuple[str, ...]
    fps: float
    config: EvaluationConfig
    body_names: tuple[str, ...]
    reasons: tuple[str, ...]
    starts: Starts
    steps: Tensor
    failed_by: Tensor
    global_mm: Tensor
    relative_mm: Tensor
    errors: Mapping[str, Tensor]

    @property
    def success(self) -> Tensor:
        """(S,) bool."""
        return self.failed_by < 0

    def figures(self, clip: int | None = None) -> dict[str, Any]:
        """Of one clip, or of all starts of all clips: plain numbers, means over starts."""
        chosen = torch.ones_like(self.success) if clip is None else self.starts.clip == clip
        by, failed_by = self.failed_by[chosen], {}
        for number, reason in enumerate(self.reasons):
            failed_by[reason] = int((by == number).sum())
        body = {
            name: {"global_mm": _mean(self.global_mm[chosen, at]), "relative_mm": _mean(self.relative_mm[chosen, at])}
            for at, name in enumerate(self.body_names)
        }
        return {
            "starts": int(chosen.sum()),
            "success": float(self.success[chosen].double().mean()),
            "failed_by": failed_by,
            "horizon_s": float(self.starts.steps[chosen].double().mean()) / self.fps,
            "survived_s": float(self.steps[chosen].double().mean()) / self.fps,
            "global_mm": _mean(self.global_mm[chosen].mean(-1)),
            "relative_mm": _mean(self.relative_mm[chosen].mean(-1)),
            **{name: _mean(self.errors[name][chosen]) for name in ERRORS},
            "bodies": body,
        }


@torch.no_grad()
def evaluate(
    simulation: TrackingSimulation,
    policy: Callable[[Any], Tensor],
    truth: MotionLibrary,
    config: EvaluationConfig | None = None,
    *,
    followed: MotionLibrary | None = None,
    robot: RobotModel | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Look at a policy from many starts.

    Args:
        simulation: its robots; it takes the starts in batches of as many.
        policy: from what the simulation shows, (N, A) actions; it must be deterministic.
        truth: what errors and failures are measured by.
        config: of the starts.
        followed: what the policy follows, by default the truth: clips of the same names (or one of any name) at the
            same rate, as those that were decoded from tokens. Robots begin there, and the shorter clip ends both.
        robot: for its anchor, feet and hands, by default the G1.
        on_batch: called with how many starts are done, and of how many.

    Raises:
        UserError: the libraries do not hold the same clips at one rate, or a clip is too short.
    """
    config, robot, followed = config or EvaluationConfig(), robot or load_robot(), followed or truth
    places = _same_clips(truth, followed)
    device = truth.length.device
    lengths = torch.minimum(truth.length, followed.length[places])
    starts = draw_starts(dict(zip(truth.names, lengths.tolist(), strict=True)), truth.fps, config)
    (anchor,) = index_by_name(truth.body_names, [robot.anchor])
    ends = index_by_name(truth.body_names, (*robot.feet, *robot.hands))
    batches = list[_Batch]()
    for done in range(0, len(starts.clip), simulation.num_envs):
        batch = Starts(*(values[done : done + simulation.num_envs].to(device) for values in starts))
        # the last batch is filled up with its last start, which is then not counted
        filled = torch.arange(simulation.num_envs, device=device).clamp(max=len(batch.clip) - 1)
        batches.append(_follow(simulation, policy, truth, Starts(*(v[filled] for v in batch)), places, anchor, ends))
        batches[-1] = batches[-1].first(len(batch.clip))
        if on_batch is not None:
            on_batch(done + len(batch.clip), len(starts.clip))
    steps, failed_by, global_mm, relative_mm, *errors = (
        torch.cat([getattr(batch, field) for batch in batches]).cpu() for field in _Batch._fields
    )
    return Evaluation(
        clips=truth.names,
        fps=truth.fps,
        config=config,
        body_names=truth.body_names,
        reasons=(*thresholds(), DIVERGED),
        starts=starts,
        steps=steps,
        failed_by=failed_by,
        global_mm=global_mm,
        relative_mm=relative_mm,
        errors=dict(zip(ERRORS, errors, strict=True)),
    )


class _Batch(NamedTuple):
    """What came of one robot each; the fields of `Evaluation`."""

    steps: Tensor
    failed_by: Tensor
    global_mm: Tensor
    relative_mm: Tensor
    joint_deg: Tensor
    velocity: Tensor
    acceleration: Tensor

    def first(self, count: int) -> _Batch:
        return _Batch(*(values[:count] for values in self))


class _Mean:
    """A mean over steps in which each robot takes part or not; NaN for one that never does."""

    def __init__(self, *shape: int, device: torch.device) -> None:
        self.sum = torch.zeros(*shape, dtype=torch.float64, device=device)
        self.count = torch.zeros(shape[0], dtype=torch.float64, device=device)

    def add(self, values: Tensor, taking_part: Tensor) -> None:
        mask = taking_part.view(-1, *[1] * (values.ndim - 1))
        self.sum += torch.where(mask, values.double(), 0.0)
        self.count += taking_part

    def value(self) -> Tensor:
        return self.sum / self.count.view(-1, *[1] * (self.sum.ndim - 1))


def _follow(
    simulation: TrackingSimulation,
    policy: Callable[[Any], Tensor],
    truth: MotionLibrary,
    starts: Starts,
    places: Tensor,
    anchor: int,
    ends: Sequence[int],
) -> _Batch:
    device, count = truth.length.device, len(starts.clip)

    def motion(step: int) -> RobotState:
        frames = truth.at(starts.clip, starts.frame + step)
        return RobotState(frames.joint_pos, frames.body_pos_w, frames.body_quat_w)

    bodies = (count, len(truth.body_names))
    global_mm, relative_mm = _Mean(*bodies, device=device), _Mean(*bodies, device=device)
    joint, velocity, acceleration = (_Mean(count, device=device) for _ in range(3))
    failed_by = torch.full((count,), -1, device=device)
    steps = torch.zeros(count, dtype=torch.long, device=device)
    seen, robot = simulation.begin(places[starts.clip], starts.frame)
    # distances from the motion at the frames before, (N, L, 3): of the places, and how these changed
    off, change = robot.body_pos_w - motion(0).body_pos_w, None
    for step in range(1, int(starts.steps.max()) + 1):
        running = (failed_by < 0) & (step <= starts.steps)
        if not running.any():
            break
        seen, robot = simulation.step(policy(seen))
        there = motion(step)
        sound = torch.stack([values.flatten(1).isfinite().all(1) for values in robot]).all(0)
        counted = running & sound
        now_off = robot.body_pos_w - there.body_pos_w
        now_change = (now_off - off) * truth.fps
        global_mm.add(1000 * now_off.norm(dim=-1), counted)
        relative_mm.add(1000 * _relative(there, robot, anchor).norm(dim=-1), counted)
        joint.add(torch.rad2deg((robot.joint_pos - there.joint_pos).abs().mean(-1)), counted)
        velocity.add(now_change.norm(dim=-1).mean(-1), counted)
        if change is not None:
            acceleration.add(((now_change - change) * truth.fps).norm(dim=-1).mean(-1), counted)
        off, change = now_off, now_change
        steps += running
        told = {**failures(there, robot, anchor, ends), DIVERGED: ~sound}
        for number, failed in enumerate(told.values()):
            # a state that is no number compares with nothing, and only that counts
            by_this = running & failed & (failed_by < 0) & (sound | (number == len(told) - 1))
            failed_by[by_this] = number
    means = (mean.value() for mean in (global_mm, relative_mm, joint, velocity, acceleration))
    return _Batch(steps, failed_by, *means)


def _relative(motion: RobotState, robot: RobotState, anchor: int) -> Tensor:
    anchors = tuple(values[:, anchor] for values in (motion.body_pos_w, motion.body_quat_w))
    robots = tuple(values[:, anchor] for values in (robot.body_pos_w, robot.body_quat_w))
    return robot.body_pos_w - relative_body_poses(motion.body_pos_w, motion.body_quat_w, *anchors, *robots).pos_w


def _same_clips(truth: MotionLibrary, followed: MotionLibrary) -> Tensor:
    """(C,) for each clip of the truth, where it stands among those followed."""
    if truth.fps != followed.fps:
        raise UserError(f"evaluation: the truth has {truth.fps:g} fps, what is followed {followed.fps:g}")
    for what in ("joint_names", "body_names"):
        if getattr(truth, what) != getattr(followed, what):
            raise UserError(f"evaluation: the truth and what is followed have other {what.replace('_', ' ')}")
    if len(truth) == len(followed) == 1:
        return torch.zeros(1, dtype=torch.long, device=truth.length.device)
    missing = [name for name in truth.names if name not in followed.names]
    if missing:
        raise UserError(
            f"evaluation: '{missing[0]}' of the truth is not among what is followed; files of one motion need one name"
        )
    places = [followed.names.index(name) for name in truth.names]
    return torch.tensor(places, device=truth.length.device)


def _mean(values: Tensor) -> float | None:
    """Over starts that have one; None where none has, which JSON can hold."""
    known = values[~values.isnan()]
    return float(known.mean()) if len(known) else None
