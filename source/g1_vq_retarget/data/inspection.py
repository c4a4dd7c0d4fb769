"""All there is to say about a motion file before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, Unpack

import numpy as np
import torch

from g1_vq_retarget.data.contents import Entry, contents_of
from g1_vq_retarget.motion import HumanClip, RobotClip, path_length
from g1_vq_retarget.motion.formats import Examined, Finding, ReadOptions, examine_motion
from g1_vq_retarget.motion.quality import (
    PhysicalQuality,
    clip_physics,
    contacts,
    mean_slide,
    physical_quality,
    standing_height,
)
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS, HUMAN_PARENTS
from g1_vq_retarget.robot import RobotModel, load_robot

_BALLS = [HUMAN_JOINTS.index(joint) for joint in ("left_foot", "right_foot")]


@dataclass(frozen=True)
class JointRange:
    """Where a joint of a robot goes, and where it may go, rad; no limits for a joint that is not known."""

    joint: str
    lowest: float
    highest: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class Body:
    """A human's body and feet.

    Attributes:
        leg_length: hip to knee to ankle, m.
        head_height: head joint above the balls of the feet, standing straight, m.
        foot_slide: horizontal speed, m/s, of the balls of the feet in contact, as of a robot's soles, with a floor
            where they stand; None where they never stand still.
        contact_share: share of feet and steps in contact, 0 to 1.
    """

    leg_length: float
    head_height: float
    foot_slide: float | None
    contact_share: float


@dataclass(frozen=True)
class ClipReport:
    """A clip of a file.

    Attributes:
        name, frames, fps, licence: of the clip.
        seconds: from the first frame to the last.
        path: length of the root's way over the ground, m.
        root_height: lowest and highest height of the root, m.
        floor: where the floor is by the feet that stand still (their soles; of a human the balls of the feet), m;
            None where none does.
        joints: names, in the order of the clip.
        ranges: of each of a robot's joints; of a human none.
        physical: of a robot with a known link table, with the floor at 0.
        body: of a human.
    """

    name: str
    kind: Literal["robot", "human"]
    frames: int
    fps: float
    seconds: float
    path: float
    root_height: tuple[float, float]
    floor: float | None
    joints: tuple[str, ...]
    licence: str
    ranges: Sequence[JointRange]
    physical: PhysicalQuality | None
    body: Body | None


@dataclass(frozen=True)
class Inspection:
    """A motion file: what stands in it, how it was read, what is in its clips.

    Attributes:
        file: path of the file.
        format: title of its format.
        contents: keys or columns.
        findings: what it left open, and what settled it.
        warnings: what is odd and was accepted.
        clips: one or several.
    """

    file: str
    format: str
    contents: Sequence[Entry]
    findings: Sequence[Finding]
    warnings: Sequence[str]
    clips: Sequence[ClipReport]

    def to_dict(self) -> dict:
        """Plain values for JSON; units are those of the attributes."""
        return asdict(self)


def inspect_motion(path: str | Path, **options: Unpack[ReadOptions]) -> tuple[Inspection, Examined]:
    """Read a motion file and measure what is in it.

    Args:
        path: the file.
        options: what the file may leave untold.

    Returns:
        The report, and the file as it was read.

    Raises:
        UserError: the file cannot be read.
    """
    examined = examine_motion(path, **options)
    robot = options.get("robot") or load_robot()
    return Inspection(
        file=str(path),
        format=examined.format,
        contents=contents_of(path),
        findings=examined.findings,
        warnings=examined.warnings,
        clips=[_human(clip) if isinstance(clip, HumanClip) else _robot(clip, robot) for clip in examined.clips],
    ), examined


def sole_points(clip: RobotClip | HumanClip, robot: RobotModel) -> torch.Tensor:
    """(T, F, P, 3) points of the feet that touch the floor, m: a robot's soles, the balls of a human's feet.

    Raises MotionError for a robot clip that lacks a joint of the robot.
    """
    if isinstance(clip, RobotClip):
        return clip_physics(clip, robot).sole
    return torch.from_numpy(clip.joint_pos_w[:, _BALLS])[:, :, None]


def report(inspection: Inspection) -> str:
    """The inspection as text for people."""
    lines = [f"{inspection.file}: {inspection.format}"]
    lines += [f"  {entry}" for entry in inspection.contents]
    lines += [f"  settled: {finding}" for finding in inspection.findings]
    lines += [f"  warning: {warning}" for warning in inspection.warnings]
    for clip in inspection.clips:
        lines += ["", *_clip_lines(clip)]
    return "\n".join(lines)


def _common(clip: RobotClip | HumanClip) -> dict:
    return {
        "name": clip.name,
        "frames": len(clip),
        "fps": clip.fps,
        "seconds": clip.duration,
        "path": path_length(clip),
        "root_height": (float(clip.root_pos_w[:, 2].min()), float(clip.root_pos_w[:, 2].max())),
        "licence": clip.provenance.licence,
    }


def _robot(clip: RobotClip, robot: RobotModel) -> ClipReport:
    known = set(robot.joint_names) <= set(clip.joint_names)
    limits = {joint.name: (joint.lower, joint.upper) for joint in robot.joints}
    return ClipReport(
        kind="robot",
        joints=clip.joint_names,
        ranges=[
            JointRange(name, float(angles.min()), float(angles.max()), *limits.get(name, (None, None)))
            for name, angles in zip(clip.joint_names, clip.joint_pos.T, strict=True)
        ],
        floor=standing_height(sole_points(clip, robot), clip.fps) if known else None,
        physical=physical_quality(clip, robot) if known else None,
        body=None,
        **_common(clip),
    )


def _human(clip: HumanClip) -> ClipReport:
    rest = np.zeros((len(HUMAN_JOINTS), 3))
    for joint, parent in enumerate(HUMAN_PARENTS[1:], start=1):
        rest[joint] = rest[parent] + clip.rest_offsets[joint]
    balls = sole_points(clip, load_robot())
    floor = standing_height(balls, clip.fps)
    contact, slide = contacts(balls - torch.tensor([0.0, 0.0, floor or 0.0]), clip.fps)
    standing = floor is not None and contact.numel() > 0
    return ClipReport(
        kind="human",
        joints=HUMAN_JOINTS,
        ranges=[],
        floor=floor,
        physical=None,
        body=Body(
            leg_length=clip.leg_length,
            head_height=float(rest[HUMAN_JOINTS.index("head"), 1] - rest[_BALLS, 1].mean()),
            foot_slide=mean_slide(contact, slide) if standing else None,
            contact_share=contact.any(dim=-1).double().mean().item() if standing else 0.0,
        ),
        **_common(clip),
    )


def _clip_lines(clip: ClipReport) -> list[str]:
    lines = [
        f"  {clip.kind} clip {clip.name}: {clip.frames} frames at {clip.fps:g} fps, {clip.seconds:.2f} s, "
        f"{len(clip.joints)} joints",
        f"    root path {clip.path:.2f} m, root height {clip.root_height[0]:.3f} to {clip.root_height[1]:.3f} m",
        "    floor by the feet that stand: "
        + ("none stands still" if clip.floor is None else f"z = {clip.floor:+.3f} m"),
        f"    licence: {clip.licence or 'not told'}",
    ]
    if clip.body is not None:
        slide = "no contact" if clip.body.foot_slide is None else f"slide {clip.body.foot_slide:.3f} m/s"
        lines += [
            f"    body: leg {clip.body.leg_length:.3f} m, head {clip.body.head_height:.2f} m above the feet",
            f"    feet: in contact {100 * clip.body.contact_share:.1f} %, {slide}",
        ]
    if clip.ranges:
        lines.append(f"    {'joint, rad':28s}{'from':>9s}{'to':>9s}{'limits':>21s}")
    for entry in clip.ranges:
        limits, mark = "unknown", ""
        if entry.lower is not None and entry.upper is not None:
            limits = f"{entry.lower:9.3f}{entry.upper:9.3f}"
            over = max(entry.lower - entry.lowest, entry.highest - entry.upper)
            mark = f"  {over:.3f} beyond" if over > 0 else ""
        lines.append(f"    {entry.joint:28s}{entry.lowest:9.3f}{entry.highest:9.3f}{limits:>21s}{mark}")
    if clip.physical is not None:
        lines.append("    physical quality (floor at z = 0)")
        lines += [
            f"      {field.name:24s}{_figure(getattr(clip.physical, field.name))}" for field in fields(clip.physical)
        ]
    elif clip.kind == "robot":
        lines.append("    physical quality: not known for a robot of other joints than the G1's")
    return lines


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
