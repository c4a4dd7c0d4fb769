"""Whether a URDF is of the robot; reading it starts nothing, so that it is told before Isaac Sim is."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file
from g1_vq_retarget.robot import load_robot


def checked_urdf(path: str | Path) -> Path:
    """The file, if the joints that move in it are the G1's 29 and no others.

    Raises:
        UserError: no such file, no URDF, or of another robot.
    """
    path, robot = existing_file(path), load_robot()
    try:
        joints = ET.parse(path).getroot().findall("joint")
    except ET.ParseError as error:
        raise UserError(f"{path}: not a URDF ({error})") from error
    moving = {joint.get("name") for joint in joints if joint.get("type") != "fixed"}
    missing = [name for name in robot.joint_names if name not in moving]
    more = sorted(str(name) for name in moving - set(robot.joint_names))
    if missing or more:
        told = f"lacks {', '.join(missing)}" if missing else f"also moves {', '.join(more)}"
        raise UserError(f"{path}: {told}; expected the {len(robot.joints)} joints of {robot.title} (g1_29dof_rev_1_0)")
    return path
