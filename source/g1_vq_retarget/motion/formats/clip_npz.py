"""The package's own NPZ: a clip with everything needed to read it, robot or human.

Keys: format, version, kind ("robot" or "human"), name, fps, quaternion ("wxyz"), units ("m rad s"), joint_names,
provenance (JSON), root_pos_w (T, 3), root_quat_w (T, 4), and
    robot: joint_pos (T, J), columns as in joint_names;
    human: joint_quat (T, 21, 4) and rest_offsets (22, 3), joint_names being the 22 from the pelvis on.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from g1_vq_retarget.files import existing_file
from g1_vq_retarget.motion.clip import HumanClip, MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.formats.checks import check_limits, naming
from g1_vq_retarget.motion.formats.npz import number, numbers, read_arrays, some_of, word, words, write_arrays
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS
from g1_vq_retarget.robot.model import RobotModel

FORMAT = "g1_vq_retarget clip"
VERSION = 1
_CONVENTIONS = {"quaternion": "wxyz", "units": "m rad s"}
_COMMON = ("kind", "name", "fps", *_CONVENTIONS, "joint_names", "provenance", "root_pos_w", "root_quat_w")
_BY_KIND = {"robot": ("joint_pos",), "human": ("joint_quat", "rest_offsets")}


def read_clip_npz(path: str | Path, robot: RobotModel | None = None) -> RobotClip | HumanClip:
    """Read a clip as it was written, provenance included. A clip of `robot`'s joints is held against its limits.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: another format or version, a missing key, a convention that is not ours, impossible values.
    """
    path = existing_file(path)
    with naming(path):
        header = read_arrays(path, ("format", "version"))
        if word(header, "format") != FORMAT:
            raise MotionError(f"format is {word(header, 'format')[:40]!r}, expected {FORMAT!r}")
        if number(header, "version") != VERSION:
            raise MotionError(f"version is {header['version']}, this release reads {VERSION}: upgrade g1_vq_retarget")
        kind = word(read_arrays(path, ("kind",)), "kind")
        if kind not in _BY_KIND:
            raise MotionError(f"kind is {kind[:40]!r}, expected one of {', '.join(_BY_KIND)}")
        arrays = read_arrays(path, (*_COMMON, *_BY_KIND[kind]))
        for key, expected in _CONVENTIONS.items():
            if word(arrays, key) != expected:
                raise MotionError(f"{key} is {word(arrays, key)[:40]!r}, expected {expected!r}")
        name, fps, provenance = word(arrays, "name"), number(arrays, "fps"), _provenance(word(arrays, "provenance"))
        joint_names = words(arrays, "joint_names")
        pos, quat = numbers(arrays, "root_pos_w"), numbers(arrays, "root_quat_w")
        if kind == "human":
            if joint_names != HUMAN_JOINTS:
                raise MotionError(f"joint_names are {some_of(joint_names, 22)}, expected {', '.join(HUMAN_JOINTS)}")
            joint_quat, rest_offsets = numbers(arrays, "joint_quat"), numbers(arrays, "rest_offsets")
            return HumanClip(name, fps, pos, quat, joint_quat, rest_offsets, provenance=provenance)
        clip = RobotClip(name, fps, pos, quat, joint_names, numbers(arrays, "joint_pos"), provenance=provenance)
        if robot is not None and set(robot.joint_names) <= set(joint_names):
            check_limits(clip, robot, path)
        return clip


def write_clip_npz(clip: RobotClip | HumanClip, path: str | Path) -> None:
    """Write a clip; reading gives back the same. Raises UserError if the file cannot be written."""
    kind = "robot" if isinstance(clip, RobotClip) else "human"
    joint_names = clip.joint_names if isinstance(clip, RobotClip) else HUMAN_JOINTS
    words = {
        "format": FORMAT,
        "kind": kind,
        "name": clip.name,
        "joint_names": joint_names,
        "provenance": json.dumps(asdict(clip.provenance)),
        **_CONVENTIONS,
    }
    values = {"version": VERSION} | {key: getattr(clip, key) for key in ("fps", "root_pos_w", "root_quat_w")}
    values |= {key: getattr(clip, key) for key in _BY_KIND[kind]}
    write_arrays(path, {key: np.array(value) for key, value in (words | values).items()})


def _provenance(text: str) -> Provenance:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MotionError(f"provenance is no JSON ({error})") from error
    keys = {field.name for field in fields(Provenance)}
    if not isinstance(told, dict) or set(told) != keys or not all(isinstance(value, str) for value in told.values()):
        raise MotionError(f"provenance is not what this version writes: strings {', '.join(sorted(keys))}")
    return Provenance(**told)
