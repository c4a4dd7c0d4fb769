"""The motion nearest to a given one that stands on its feet: no slide, nothing below the floor, within the limits.

Made for what a model decodes. All frames are one least-squares problem: every change of a pose has a price, and so has
how suddenly it comes; so have the way of a planted point over the floor, what is below it, and angles and speeds beyond
their limits. Each step of Gauss and Newton is a banded system, and takes a time that grows with the frames. After the
footskate cleanup of Kovar, Schreiner and Gleicher 2002, in which footholds are found first, and the spacetime
constraints of Gleicher 1997 ("Motion Editing with Spacetime Constraints"), in which the whole body gives way smoothly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion.banded import FrameLeastSquares
from g1_vq_retarget.motion.clip import RobotClip
from g1_vq_retarget.motion.footholds import planted_points, planted_steps
from g1_vq_retarget.motion.quality import contacts, mean_slide
from g1_vq_retarget.robot.capsules import capsules_of
from g1_vq_retarget.robot.jacobian import PLACE, ROOT, TURN, moved_by, point_jacobian
from g1_vq_retarget.robot.kinematics import BodyPoses, forward_kinematics
from g1_vq_retarget.robot.model import RobotModel

# What changes cost, beside a radian of a joint: a metre of the root's place along the floor and in height, and a radian
# of its turn. A change that comes within this time, s, costs as much again.
PLACE_COST, HEIGHT_COST, TURN_COST, CHANGE_TIME = 0.3, 2.0, 3.0, 0.06
# What a metre costs that a planted point goes along the floor or up where it should not, from one frame to the next;
# a metre below the floor, a radian beyond a limit or (a frame) a motor's speed; leaving what is settled already.
HOLD_COST, RISE_COST, BOUND_COST, SETTLED_COST = 30.0, 5.0, 300.0, 1e5
# Of a motor's speed so much is used.
SPEED_SHARE = 0.98
# Steps of Gauss and Newton at most, and the largest change (rad, m) after which no other follows; a step leads out of
# the floor at most so far, m, and each of its changes costs so many times what changes do at all (Levenberg's damping).
STEPS, ENOUGH, RETREAT, DAMPING = 12, 5e-4, 0.03, 4.0
# Frames solved at a time, those they look ahead, and those before that stay: second differences reach so far.
PIECE, AHEAD, HELD = 1500, 100, 2


@dataclass(frozen=True)
class Changes:
    """What a projection changed, of all frames.

    Attributes:
        joint_mean_deg, joint_max_deg: how far joints were turned, degrees: mean over frames and joints, and at most.
        root_mean_mm, root_max_mm: how far the root was moved, mm.
        planted_share: share of feet and frames in which a point of the foot was held, 0 to 1.
        slide_before, slide_after: as `PhysicalQuality.foot_slide`, m/s; None where no foot is ever in contact.
        penetration_before_mm, penetration_after_mm: as `PhysicalQuality.penetration_mm`.
        limit_share: share of joint angles that were turned and are at a limit now, 0 to 1.
    """

    joint_mean_deg: float
    joint_max_deg: float
    root_mean_mm: float
    root_max_mm: float
    planted_share: float
    slide_before: float | None
    slide_after: float | None
    penetration_before_mm: float
    penetration_after_mm: float
    limit_share: float

    def __str__(self) -> str:
        slides = ("none" if slide is None else f"{slide:.3f}" for slide in (self.slide_before, self.slide_after))
        return (
            f"joints by {self.joint_mean_deg:.2f}° (at most {self.joint_max_deg:.1f}°), "
            f"root by {self.root_mean_mm:.1f} mm (at most {self.root_max_mm:.0f} mm), "
            f"slide {' -> '.join(slides)} m/s, "
            f"penetration {self.penetration_before_mm:.2f} -> {self.penetration_after_mm:.2f} mm, "
            f"feet planted {100 * self.planted_share:.0f} % of the time, "
            f"brought to limits {100 * self.limit_share:.2f} % of joint values"
        )


class Projected(NamedTuple):
    """A motion that stands on its feet, and what was changed for it."""

    motion: RobotClip
    changes: Changes


def project_clip(clip: RobotClip, robot: RobotModel) -> Projected:
    """A motion on a level floor at z = 0, changed as little as is needed for feet to stand and nothing to be in it.

    Feet stand where `planted_points` says so: where they are low and slow for some time; in a jump nowhere. Every
    other part of the body is only kept above the floor: hands and knees that touch it may slide. Joint limits are kept
    exactly, motors' speeds and the floor but for what the steps taken leave (tenths of a millimetre). Self-collision
    is not looked at. Not sped up or slowed down, and no frame less.

    Args:
        clip: of the robot's joints, in any order.
        robot: link table, limits and motors.

    Raises:
        MotionError: the clip lacks a joint of the robot.
    """
    problem = _Problem(clip.with_joint_order(robot.joint_names), robot)
    change = np.zeros((len(clip), ROOT + len(robot.joints)))
    for begin in range(0, len(clip), PIECE):
        # a piece goes on from frames that stay as they are, and looks ahead
        first, last = max(begin - HELD, 0), min(begin + PIECE + AHEAD, len(clip))
        change[first:last] = problem.descend(slice(first, last), change[first:begin])
    change[:, ROOT:] = problem.joints(slice(None), change).clip(*robot.limits.T) - problem.clip.joint_pos
    motion = problem.motion(change)
    return Projected(motion.with_joint_order(clip.joint_names), problem.changes(change, motion.joint_pos))


class _Problem:
    """A motion, and the price of changes (T, 6 + J): the root's place (m), its turn (rotation vector, rad), joints."""

    def __init__(self, clip: RobotClip, robot: RobotModel) -> None:
        self.clip, self.robot = clip, robot
        capsules, feet = capsules_of(robot), robot.link_indices(robot.feet)
        # points are the ends of capsules; the lower side of each is its radius below
        self.link, self.radius = np.repeat(capsules.link, 2), np.repeat(capsules.radius, 2)
        self.soles = np.stack([np.flatnonzero(self.link == foot) for foot in feet])
        self.legs = np.flatnonzero(moved_by(robot)[feet].any(axis=0))
        self.lower_body = np.isin(self.link, np.append(self.legs + 1, 0))
        self.price = np.array([PLACE_COST, PLACE_COST, HEIGHT_COST, *[TURN_COST] * 3, *[1.0] * len(robot.joints)]) ** 2
        self.most = SPEED_SHARE * np.array([joint.motor.velocity for joint in robot.joints]) / clip.fps
        self.points = self._points(self._poses(slice(None), np.zeros((len(clip), len(self.price)))))
        sole = self._below(self.points)[:, self.soles]
        self.planted = planted_points(sole, clip.fps)
        self.steps = planted_steps(sole, self.planted, clip.fps)

    def joints(self, frames: slice, change: np.ndarray) -> np.ndarray:
        """(T, J) changed joint angles, rad."""
        return self.clip.joint_pos[frames] + change[:, ROOT:]

    def motion(self, change: np.ndarray) -> RobotClip:
        """The whole motion, changed."""
        turned = Rotation.from_rotvec(change[:, TURN]) * self.clip.root_rotation
        return replace(
            self.clip,
            root_pos_w=self.clip.root_pos_w + change[:, PLACE],
            root_quat_w=turned.as_quat(scalar_first=True),
            joint_pos=self.joints(slice(None), change),
        )

    def changes(self, change: np.ndarray, joint_pos: np.ndarray) -> Changes:
        """What a change comes to."""
        turned, moved = np.degrees(np.abs(change[:, ROOT:])), 1000 * np.linalg.norm(change[:, PLACE], axis=1)
        at_limit = (joint_pos <= self.robot.limits[:, 0]) | (joint_pos >= self.robot.limits[:, 1])
        told = [self._told(points) for points in (self.points, self._points(self._poses(slice(None), change)))]
        return Changes(
            joint_mean_deg=float(turned.mean()),
            joint_max_deg=float(turned.max()),
            root_mean_mm=float(moved.mean()),
            root_max_mm=float(moved.max()),
            planted_share=float(self.planted.any(axis=-1).mean()),
            slide_before=told[0][0],
            slide_after=told[1][0],
            penetration_before_mm=told[0][1],
            penetration_after_mm=told[1][1],
            limit_share=float((at_limit & (turned > 0)).mean()),
        )

    def descend(self, frames: slice, settled: np.ndarray) -> np.ndarray:
        """The best change found of some frames, of which the first are settled already."""
        change = np.zeros((frames.stop - frames.start, len(self.price)))
        change[: len(settled)] = settled
        pressed = np.zeros((len(change), len(self.link)), dtype=bool)
        lifted = pressed
        for _ in range(STEPS):
            poses = self._poses(frames, change)
            points = self._points(poses)
            # what was lifted stays a row while it presses on the floor, so that it does not fall back and in again
            height = self._below(points)[..., 2]
            lifted = pressed | (height < -RETREAT) | (~lifted & (height < 0))
            before = change
            change, pressed = self._step(frames, before, settled, poses, points, lifted)
            if np.abs(change - before).max() < ENOUGH:
                break
        return change

    def _step(
        self,
        frames: slice,
        change: np.ndarray,
        settled: np.ndarray,
        poses: BodyPoses,
        points: np.ndarray,
        lifted: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best change as far as it goes in straight lines, and which of the lifted points press on the floor."""
        joints = self.joints(frames, change)
        lower, upper = self.robot.limits.T
        beyond, speed = (joints < lower) | (joints > upper), np.diff(joints, axis=0)
        fast = np.abs(speed) > self.most
        # arms and waist are only asked where there is something for them to do: it is three times as much work
        above = np.setdiff1d(np.arange(len(self.robot.joints)), self.legs)
        busy = lifted[:, ~self.lower_body].any() or beyond[:, above].any() or fast[:, above].any()
        moving = np.arange(len(self.robot.joints)) if busy or change[:, ROOT + above].any() else self.legs
        columns = np.concatenate([np.arange(ROOT), ROOT + moving])
        now, price = change[:, columns], self.price[columns]

        system = FrameLeastSquares(len(change), len(columns))
        system.values(np.zeros_like(now), np.broadcast_to(price, now.shape))
        system.values(now, np.broadcast_to(DAMPING * price, now.shape))
        system.bends(price * (CHANGE_TIME * self.clip.fps) ** 4)
        kept = np.zeros_like(now)
        kept[: len(settled)] = settled[:, columns]
        system.values(kept, np.broadcast_to(SETTLED_COST * (np.arange(len(now)) < len(settled))[:, None], now.shape))

        first = self.clip.joint_pos[frames]
        goal, weight = np.zeros_like(now), np.zeros_like(now)
        goal[:, ROOT:] = (joints.clip(lower, upper) - first)[:, moving]
        weight[:, ROOT:] = BOUND_COST**2 * beyond[:, moving]
        system.values(goal, weight)
        if fast.any():
            goal, weight = np.zeros_like(now[1:]), np.zeros_like(now[1:])
            goal[:, ROOT:] = (speed.clip(-self.most, self.most) - np.diff(first, axis=0))[:, moving]
            weight[:, ROOT:] = BOUND_COST**2 * fast[:, moving]
            system.steps(goal, weight)

        self._hold(system, frames, now, poses, points, moving)
        frame, point = np.nonzero(lifted)
        rows = point_jacobian(self.robot, poses, frame, self.link[point], points[frame, point], moving)[:, 2]
        height = self._below(points)[frame, point, 2].clip(-RETREAT)
        if len(frame):
            slot = np.arange(len(frame)) - np.searchsorted(frame, frame)
            all_rows = np.zeros((len(now), slot.max() + 1, len(columns)))
            all_rows[frame, slot] = rows
            goal = np.zeros(all_rows.shape[:2])
            goal[frame, slot] = np.einsum("kn,kn->k", rows, now[frame]) - height
            system.rows(all_rows, goal, np.full(goal.shape, BOUND_COST**2))

        best = change.copy()
        best[:, columns] = system.solve()
        pressed = np.zeros_like(lifted)
        pressed[frame, point] = height + np.einsum("kn,kn->k", rows, (best - change)[frame][:, columns]) < 0
        return best, pressed

    def _hold(
        self,
        system: FrameLeastSquares,
        frames: slice,
        now: np.ndarray,
        poses: BodyPoses,
        points: np.ndarray,
        moving: np.ndarray,
    ) -> None:
        """Planted points go no further from frame to frame than they are meant to."""
        planted = self.planted[frames]
        both = planted[1:] & planted[:-1]
        if not both.any():
            return
        soles, count = self.soles.ravel(), len(now)
        frame, point = np.repeat(np.arange(count), len(soles)), np.tile(soles, count)
        rows = point_jacobian(self.robot, poses, frame, self.link[point], points[frame, point], moving)
        rows = rows.reshape(count, -1, now.shape[1])
        reached = np.einsum("tkn,tn->tk", rows, now)
        meant = self.steps[frames.start : frames.stop - 1].reshape(count - 1, -1)
        goal = np.diff(reached, axis=0) + meant - np.diff(points[:, soles].reshape(count, -1), axis=0)
        cost = np.array([HOLD_COST, HOLD_COST, RISE_COST]) ** 2
        system.row_steps(rows, goal, (both[..., None] * cost).reshape(count - 1, -1))

    def _poses(self, frames: slice, change: np.ndarray) -> BodyPoses:
        turned = Rotation.from_rotvec(change[:, TURN]) * self.clip.root_rotation[frames]
        values = (
            self.joints(frames, change),
            self.clip.root_pos_w[frames] + change[:, PLACE],
            turned.as_quat(scalar_first=True),
        )
        return forward_kinematics(self.robot, *(torch.from_numpy(value) for value in values))

    def _points(self, poses: BodyPoses) -> np.ndarray:
        """(T, E, 3) ends of all capsules, m."""
        return capsules_of(self.robot).ends_at(poses).flatten(1, 2).numpy()

    def _below(self, points: np.ndarray) -> np.ndarray:
        """(T, E, 3) the lower sides of points, m."""
        return points - self.radius[:, None] * np.array([0.0, 0.0, 1.0])

    def _told(self, points: np.ndarray) -> tuple[float | None, float]:
        """Slide, m/s, and penetration, mm."""
        below = self._below(points)
        sole = torch.from_numpy(below[:, self.soles])
        return mean_slide(*contacts(sole, self.clip.fps)), float(1000 * (-below[..., 2].min(axis=1)).clip(0).mean())
