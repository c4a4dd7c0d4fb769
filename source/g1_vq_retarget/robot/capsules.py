"""Where a robot's capsules are, and how near they come to one another."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.robot.kinematics import BodyPoses, forward_kinematics
from g1_vq_retarget.robot.model import RobotModel

# Links fewer joints apart than this overlap by how a robot is made, or touch by how a joint bends.
LINKS_APART = 3
# Poses whose distances are held in memory at a time.
_CHUNK = 512


class Capsules(NamedTuple):
    """All capsules of a robot, link after link.

    Attributes:
        link: (C,) index of each one's link.
        ends: (C, 2, 3) both ends of each one's segment in the link's frame, m.
        radius: (C,) m.
    """

    link: np.ndarray
    ends: np.ndarray
    radius: np.ndarray

    def ends_at(self, poses: BodyPoses) -> Tensor:
        """(..., C, 2, 3) the ends in the frame of the poses, m. The lowest point is an end, less the radius."""
        ends = torch.as_tensor(self.ends, dtype=poses.pos.dtype, device=poses.pos.device)
        turned = torch.einsum("...cij,cej->...cei", poses.rot[..., self.link, :, :], ends)
        return poses.pos[..., self.link, None, :] + turned


class CapsulePairs(NamedTuple):
    """The pairs of capsules that may collide.

    Attributes:
        first, second: (P,) indices of capsules.
        allowance: (P,) how deep they overlap where the robot is known to be free of collision, m.
    """

    first: np.ndarray
    second: np.ndarray
    allowance: np.ndarray


@cache
def capsules_of(robot: RobotModel) -> Capsules:
    """The capsules of the link table."""
    table = [(index, capsule) for index, link in enumerate(robot.links) for capsule in link.capsules]
    return Capsules(
        link=np.array([index for index, _ in table]),
        ends=np.array([(capsule.start, capsule.end) for _, capsule in table]),
        radius=np.array([capsule.radius for _, capsule in table]),
    )


@cache
def colliding_pairs(robot: RobotModel) -> CapsulePairs:
    """Pairs on links at least `LINKS_APART` joints apart that do not overlap in the default pose.

    With all joints at zero the upper arms hang beside the body and the robot is free of collision, while coarse
    capsules may be too thick for it: so deep they may overlap in any pose.
    """
    capsules = capsules_of(robot)
    chosen = [
        (first, second)
        for first, second in combinations(range(len(capsules.link)), 2)
        if joints_apart(robot, int(capsules.link[first]), int(capsules.link[second])) >= LINKS_APART
    ]
    first, second = np.array(chosen, dtype=int).reshape(-1, 2).T
    poses = torch.from_numpy(np.stack([robot.default_joint_pos, np.zeros(len(robot.joints))]))
    default, straight = _distances(capsules, first, second, forward_kinematics(robot, poses)).numpy()
    free = default >= 0
    return CapsulePairs(first[free], second[free], np.maximum(-straight[free], 0.0))


def joints_apart(robot: RobotModel, first: int, second: int) -> int:
    """How many joints are between two links, along the tree."""
    first_way, second_way = _way_to_root(robot, first), _way_to_root(robot, second)
    meeting = next(link for link in first_way if link in second_way)
    return first_way.index(meeting) + second_way.index(meeting)


def clearance(robot: RobotModel, poses: BodyPoses) -> Tensor:
    """(...) distance of the two nearest capsules that may collide, m, negative where they do; differentiable."""
    capsules, pairs = capsules_of(robot), colliding_pairs(robot)
    batch = poses.pos.shape[:-2]
    flat = BodyPoses(poses.pos.reshape(-1, *poses.pos.shape[-2:]), poses.rot.reshape(-1, *poses.rot.shape[-3:]))
    allowance = torch.as_tensor(pairs.allowance, dtype=flat.pos.dtype, device=flat.pos.device)
    nearest = [
        (_distances(capsules, pairs.first, pairs.second, BodyPoses(pos, rot)) + allowance).amin(dim=-1)
        for pos, rot in zip(flat.pos.split(_CHUNK), flat.rot.split(_CHUNK), strict=True)
    ]
    return torch.cat(nearest).reshape(batch)


def segment_distance(first: Tensor, second: Tensor) -> Tensor:
    """(...) shortest distance between two segments, each (..., 2, 3) from end to end.

    Ericson 2005, "Real-Time Collision Detection", section 5.1.9.
    """
    way_1, way_2 = first[..., 1, :] - first[..., 0, :], second[..., 1, :] - second[..., 0, :]
    between = first[..., 0, :] - second[..., 0, :]

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=-1)

    # clamped, so that a segment may be a point
    a, b, e = dot(way_1, way_1).clamp_min(1e-12), dot(way_1, way_2), dot(way_2, way_2).clamp_min(1e-12)
    c, f = dot(way_1, between), dot(way_2, between)
    across = a * e - b * b
    # of parallel segments any point will do to begin with
    skew = across > 1e-9 * a * e
    s = torch.where(skew, (b * f - c * e) / across.where(skew, 1.0), torch.zeros_like(a)).clamp(0, 1)
    t = ((b * s + f) / e).clamp(0, 1)
    s = ((b * t - c) / a).clamp(0, 1)
    apart = between + s.unsqueeze(-1) * way_1 - t.unsqueeze(-1) * way_2
    return torch.linalg.vector_norm(apart, dim=-1)


def _distances(capsules: Capsules, first: np.ndarray, second: np.ndarray, poses: BodyPoses) -> Tensor:
    """(..., P) distance of the surfaces of pairs of capsules, m, negative where they overlap."""
    ends = capsules.ends_at(poses)
    radii = torch.as_tensor(capsules.radius[first] + capsules.radius[second], dtype=ends.dtype, device=ends.device)
    return segment_distance(ends[..., first, :, :], ends[..., second, :, :]) - radii


def _way_to_root(robot: RobotModel, link: int) -> list[int]:
    way = [link]
    while robot.parents[way[-1]] >= 0:
        way.append(robot.parents[way[-1]])
    return way
