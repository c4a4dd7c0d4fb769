"""NPY of joint angles alone, (T, J) rad: what deployment scripts pass on. A JSON beside it tells what the array cannot.

The JSON has the array's name and holds `joint_names`, `fps`, `unit`, `source`, `licence`. Without one, as files of
other tools are, the columns are the robot's joints in MuJoCo order, and the rate has to be told.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing, sha256_of
from g1_vq_retarget.motion.clip import MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.formats.checks import check_limits, naming
from g1_vq_retarget.motion.formats.npz import read_array, refusing_damage
from g1_vq_retarget.robot import RobotModel, forward_kinematics
from g1_vq_retarget.robot.capsules import capsules_of


def write_joint_npy(clip: RobotClip, path: Path, robot: RobotModel) -> None:
    """Write the joint angles in the robot's MuJoCo order, float32, and the JSON beside them.

    Raises:
        MotionError: the clip lacks a joint.
        UserError: a file cannot be written, or is not named .npy.
    """
    if path.suffix != ".npy":
        raise UserError(f"{path}: joint angles are written as NPY; name the file .npy")
    joints = clip.with_joint_order(robot.joint_names).joint_pos.astype(np.float32)
    card = {
        "name": clip.name,
        "robot": robot.name,
        "joint_names": list(robot.joint_names),
        "fps": clip.fps,
        "unit": "rad",
        "source": clip.provenance.source,
        "licence": clip.provenance.licence,
    }
    with replacing(path) as temporary:
        np.save(temporary, joints)
        with replacing(path.with_suffix(".json")) as beside:
            beside.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_joint_npy(path: str | Path, robot: RobotModel, fps: float | None = None) -> RobotClip:
    """Read such a file. It tells nothing of the root: the robot stands upright, its lowest point on the floor.

    Args:
        path: the array; its JSON is read where there is one.
        robot: link table.
        fps: rate of a file without a JSON.

    Raises:
        UserError: no file there, a JSON that is none or contradicts `fps`, or no rate known.
        MotionError: not an array of the robot's joints, or angles far beyond their limits, such as degrees.
    """
    path = existing_file(path)
    card = _card(path)
    if "fps" not in card and fps is None:
        raise UserError(f"{path}: tells no rate, and no {path.stem}.json is beside it; give --input_fps")
    if fps is not None and card.get("fps", fps) != fps:
        raise UserError(
            f"{path.with_suffix('.json')}: tells {card['fps']:g} fps, --input_fps {fps:g}; leave out the flag"
        )
    with naming(path):
        with refusing_damage("an NPY of joint angles"), path.open("rb") as file:
            joints = read_array(file, path.stat().st_size)
        names = tuple(card.get("joint_names", robot.joint_names))
        if joints.ndim != 2 or joints.shape[1] != len(names) or joints.dtype.kind != "f" or len(joints) == 0:
            raise MotionError(f"holds {joints.dtype} {joints.shape}, expected joint angles (T, {len(names)}) in rad")
        clip = RobotClip(
            name=path.stem,
            fps=float(card.get("fps", fps)),
            root_pos_w=np.zeros((len(joints), 3)),
            root_quat_w=np.tile([1.0, 0.0, 0.0, 0.0], (len(joints), 1)),
            joint_names=names,
            joint_pos=joints.astype(np.float64),
            provenance=Provenance(path.name, sha256_of(path), card.get("licence", "")),
        ).with_joint_order(robot.joint_names)
        check_limits(clip, robot, path)
    clip.root_pos_w[:, 2] = -_lowest(clip, robot)
    return clip


def _card(path: Path) -> dict:
    beside = path.with_suffix(".json")
    if not beside.exists():
        return {}
    try:
        card = json.loads(existing_file(beside).read_text(encoding="utf-8"))
        known = {"joint_names": list, "fps": (int, float), "licence": str}
        if not isinstance(card, dict) or any(not isinstance(card.get(key), kind) for key, kind in known.items()):
            raise ValueError("joint_names, fps and licence are expected")
        if not all(isinstance(name, str) for name in card["joint_names"]):
            raise ValueError("joint_names are no names")
        card["fps"] = float(card["fps"])
    except (ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{beside}: tells nothing of {path.name} ({error}); write or move it again") from error
    return card


def _lowest(clip: RobotClip, robot: RobotModel) -> np.ndarray:
    """(T,) height of the lowest point of the robot's capsules over the root, m."""
    capsules = capsules_of(robot)
    ends = capsules.ends_at(forward_kinematics(robot, torch.from_numpy(clip.joint_pos)))[..., 2].numpy()
    return (ends - capsules.radius[:, None]).min(axis=(1, 2))
