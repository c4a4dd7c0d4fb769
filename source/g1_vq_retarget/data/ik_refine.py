"""Refining what inverse kinematics found, all frames at once: what comes next counts as much as what was before.

The same targets and bounds as in inverse kinematics, as one sum over the clip with a price on jerk, descended by L-BFGS
through forward kinematics: trajectory optimisation with soft bounds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import roma
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from g1_vq_retarget.data.ik_targets import AS_HUMAN, Place, Posture, Sole, Turn, ik_targets
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.robot import RobotModel, forward_kinematics
from g1_vq_retarget.robot.capsules import capsules_of, colliding_pairs, segment_distance
from g1_vq_retarget.robot.kinematics import BodyPoses

# What a radian (of the root's place: a metre) per frame^3 costs at 30 frames a second, beside the targets' costs.
JERK_COST, ROOT_JERK_COST = 2.5, 12.0
# What a metre below the floor or into another capsule costs, and a radian beyond a limit or a motor's speed.
BOUND_COST = 300.0
# Capsules nearer than this are watched, and kept so far apart, m; points are kept so far above the floor, m.
SIGHT, ROOM, ABOVE = 0.05, 0.006, 0.0005
# Frames that are refined at a time, those they look ahead, and those before that the third difference reaches.
PIECE, AHEAD, HELD = 1500, 45, 3
# Of a motor's speed so much is used.
SPEED_SHARE = 0.98


def refine_clip(
    human: HumanClip, clip: RobotClip, robot: RobotModel, posture: Posture = AS_HUMAN, *, steps: int = 60
) -> RobotClip:
    """A robot's motion as `retarget_by_ik` found it, with less jerk and as near to its targets.

    Bounds are priced and not held, but for the joints' limits: soles may be below the floor by tenths of a millimetre.

    Args:
        human, posture: what it was found for.
        clip: to begin with.
        steps: of L-BFGS, for each piece of a long clip.
    """
    objective = _Objective(human, clip, robot, posture)
    done = torch.zeros(len(clip), 6 + len(robot.joints), dtype=torch.float64)
    for begin in range(0, len(clip), PIECE):
        # a piece begins with frames that stay as they are, so that it goes on smoothly, and looks ahead
        first, held = max(begin - HELD, 0), min(begin, HELD)
        last = min(begin + PIECE + AHEAD, len(clip))
        done[begin:last] = objective.descend(first, last, done[first : first + held], steps)
    joint_pos, root_pos, root_quat_xyzw = objective.motion(slice(None), done)
    return replace(
        clip,
        root_pos_w=root_pos.numpy(),
        root_quat_w=Rotation.from_quat(root_quat_xyzw.numpy()).as_quat(scalar_first=True),
        joint_names=robot.joint_names,
        joint_pos=joint_pos.numpy().clip(*robot.limits.T),
    )


class _Near(NamedTuple):
    """What is near to begin with: frames, both capsules, and how far apart their middles are to be kept, m."""

    frame: Tensor
    first: Tensor
    second: Tensor
    keep: Tensor


class _Objective:
    """What a change of a motion costs."""

    def __init__(self, human: HumanClip, clip: RobotClip, robot: RobotModel, posture: Posture) -> None:
        self.robot, self.fps = robot, clip.fps
        ordered = clip.with_joint_order(robot.joint_names)
        self.joint_pos, self.root_pos = (torch.from_numpy(part.copy()) for part in (ordered.joint_pos, clip.root_pos_w))
        self.root_quat_xyzw = torch.from_numpy(clip.root_rotation.as_quat())
        self.lower, self.upper = torch.from_numpy(robot.limits).unbind(-1)
        self.speed = torch.tensor([joint.motor.velocity for joint in robot.joints], dtype=torch.float64)
        # the place of a target in its link's frame: the front of a sole, or the link's origin
        soles = {f"{foot}_toe": (foot, Sole.of(robot, foot).toe) for foot in robot.feet}
        self.places, self.turns = [], []
        for target in ik_targets(human, robot, posture):
            name, offset = soles.get(target.frame, (target.frame, np.zeros(3)))
            link = robot.link_names.index(name)
            if isinstance(target, Place):
                self.places.append((link, torch.from_numpy(offset), torch.from_numpy(target.pos), target.cost))
            elif isinstance(target, Turn):
                self.turns.append((link, torch.from_numpy(target.rotation.as_matrix()), target.cost))
        self.capsules = capsules_of(robot)
        self.radius = torch.from_numpy(self.capsules.radius)

    def motion(self, frames: slice, change: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Joint angles (T, J), and the root's place (T, 3) and quaternion (T, 4), xyzw."""
        quat_xyzw = roma.quat_product(self.root_quat_xyzw[frames], roma.rotvec_to_unitquat(change[:, 3:6]))
        return self.joint_pos[frames] + change[:, 6:], self.root_pos[frames] + change[:, :3], quat_xyzw

    def descend(self, first: int, last: int, held: Tensor, steps: int) -> Tensor:
        """The best change found of frames `first + len(held)` to `last`, those before being changed by `held`."""
        near = self._near(first, last)
        change = held.new_zeros(last - first - len(held), held.shape[1]).requires_grad_()
        optimiser = torch.optim.LBFGS(
            [change], max_iter=steps, history_size=20, line_search_fn="strong_wolfe", tolerance_change=1e-12
        )

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = self._loss(slice(first, last), torch.cat([held, change]), near)
            loss.backward()
            return loss

        optimiser.step(closure)  # type: ignore[arg-type]  # a tensor is as good as a float
        return change.detach()

    def _loss(self, frames: slice, change: Tensor, near: _Near) -> Tensor:
        joint_pos, root_pos, quat_xyzw = self.motion(frames, change)
        poses = forward_kinematics(self.robot, joint_pos, root_pos, roma.quat_xyzw_to_wxyz(quat_xyzw))
        total = joint_pos.new_zeros(())
        for link, offset, target, cost in self.places:
            place = poses.pos[:, link] + poses.rot[:, link] @ offset
            total = total + cost**2 * (place - target[frames]).square().sum()
        for link, target, cost in self.turns:
            # 2 - 2 cos(angle) about half of ||R - R'||^2: as good as the angle's square, and smooth
            total = total + cost**2 * (poses.rot[:, link] - target[frames]).square().sum() / 2
        scale = (self.fps / 30) ** 3
        total = total + (JERK_COST * scale * joint_pos.diff(n=3, dim=0)).square().sum()
        total = total + (ROOT_JERK_COST * scale * root_pos.diff(n=3, dim=0)).square().sum()
        beyond = [
            (self.lower - joint_pos).clamp_min(0),
            (joint_pos - self.upper).clamp_min(0),
            (joint_pos.diff(dim=0).abs() - SPEED_SHARE * self.speed / self.fps).clamp_min(0),
            self._below_floor(poses),
            self._too_near(poses, near),
        ]
        return total + BOUND_COST**2 * sum(part.square().sum() for part in beyond)

    def _below_floor(self, poses: BodyPoses) -> Tensor:
        heights = self.capsules.ends_at(poses)[..., 2] - self.radius[:, None]
        return (ABOVE - heights).clamp_min(0)

    def _near(self, first: int, last: int) -> _Near:
        pairs = colliding_pairs(self.robot)
        keep = self.radius[pairs.first] + self.radius[pairs.second] - torch.from_numpy(pairs.allowance) + ROOM
        frames, chosen = [], []
        for begin in range(first, last, 256):
            part = slice(begin, min(begin + 256, last))
            quat_wxyz = roma.quat_xyzw_to_wxyz(self.root_quat_xyzw[part])
            poses = forward_kinematics(self.robot, self.joint_pos[part], self.root_pos[part], quat_wxyz)
            ends = self.capsules.ends_at(poses)
            apart = segment_distance(ends[:, pairs.first], ends[:, pairs.second]) - keep
            frame, pair = torch.nonzero(apart < SIGHT, as_tuple=True)
            frames.append(begin - first + frame)
            chosen.append(pair)
        pair = torch.cat(chosen)
        first_of, second_of = torch.from_numpy(pairs.first), torch.from_numpy(pairs.second)
        return _Near(torch.cat(frames), first_of[pair], second_of[pair], keep[pair])

    def _too_near(self, poses: BodyPoses, near: _Near) -> Tensor:
        ends = self.capsules.ends_at(poses)
        apart = segment_distance(ends[near.frame, near.first], ends[near.frame, near.second])
        return (near.keep - apart).clamp_min(0)
