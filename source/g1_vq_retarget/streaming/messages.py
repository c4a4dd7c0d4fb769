"""Frames as JSON, a line or a datagram each; docs/streaming.md tells the format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from g1_vq_retarget.motion.clip import QUATERNION_TOLERANCE
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS
from g1_vq_retarget.retarget.live import HumanFrame, RobotFrame

# A frame takes 3 kB; what is longer is none.
LARGEST = 65536
# Where a pelvis can be, m: x and y, and z.
FURTHEST = np.array([10_000.0, 10_000.0, 10.0])
_SHAPES = {"root_pos": (3,), "root_quat": (4,), "joint_quat": (len(HUMAN_JOINTS) - 1, 4)}


class MessageError(ValueError):
    """A message that is no frame. One line that tells why."""


class HumanMessage(NamedTuple):
    """What a sender tells.

    Attributes:
        stamp: when the frame was measured, s, by the sender's clock; None if not told.
        frame: the pose; None in a message that only tells the skeleton.
        rest_offsets: (22, 3) m, the actor's skeleton, as in `HumanClip`; None if not told.
    """

    stamp: float | None
    frame: HumanFrame | None
    rest_offsets: np.ndarray | None = None


def read_human(data: bytes | str) -> HumanMessage:
    """A human frame of JSON.

    Raises:
        MessageError: no JSON, a key is missing, or its value is none that it can be.
    """
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"no JSON: {error}") from error
    if not isinstance(message, dict):
        raise MessageError(f"expected an object, got {type(message).__name__}")
    offsets = _numbers(message, "rest_offsets", (len(HUMAN_JOINTS), 3)) if "rest_offsets" in message else None
    if offsets is not None and not (np.abs(offsets).max() < 10 and np.ptp(offsets, axis=0).any()):
        raise MessageError("rest_offsets must be a body's, in m")
    if offsets is not None and not any(key in message for key in _SHAPES):
        return HumanMessage(None, None, offsets)
    values = {key: _numbers(message, key, shape) for key, shape in _SHAPES.items()}
    if (np.abs(values["root_pos"]) > FURTHEST).any():
        raise MessageError("'root_pos' must be in m, within 10 km of the origin and 10 m of the floor")
    stamp = None if message.get("t") is None else float(_numbers(message, "t", ()))
    quaternions = _unit("root_quat", values["root_quat"]), _unit("joint_quat", values["joint_quat"])
    return HumanMessage(stamp, HumanFrame(values["root_pos"], *quaternions), offsets)


def write_human(message: HumanMessage) -> bytes:
    """The JSON of a human frame, without an end of line; `read_human` gives the same message again."""
    content: dict[str, object] = {} if message.stamp is None else {"t": message.stamp}
    if message.frame is not None:
        content |= dict(zip(_SHAPES, (np.asarray(values).tolist() for values in message.frame), strict=True))
    if message.rest_offsets is not None:
        content["rest_offsets"] = message.rest_offsets.tolist()
    return json.dumps(content).encode()


def write_robot(frame: RobotFrame, tick: int, seconds: float, joint_names: Sequence[str]) -> bytes:
    """The JSON of a robot frame, without an end of line.

    Args:
        frame: the pose.
        tick: its number; one that is missing was dropped on the way.
        seconds: its time since the stream began.
        joint_names: of its joints.
    """
    content = {
        "tick": tick,
        "t": round(seconds, 6),
        "root_pos": np.asarray(frame.root_pos_w).tolist(),
        "root_quat": np.asarray(frame.root_quat_w).tolist(),
        "joint_pos": dict(zip(joint_names, np.asarray(frame.joint_pos).tolist(), strict=True)),
    }
    return json.dumps(content).encode()


def _numbers(message: dict, key: str, shape: tuple[int, ...]) -> np.ndarray:
    if key not in message:
        raise MessageError(f"'{key}' is missing")
    try:
        values = np.asarray(message[key], dtype=float)
    except (ValueError, TypeError, OverflowError) as error:
        raise MessageError(f"'{key}' holds no numbers") from error
    if values.shape != shape:
        raise MessageError(f"'{key}' has shape {values.shape}, expected {shape}")
    if not np.isfinite(values).all():
        raise MessageError(f"'{key}' holds a value that is no finite number")
    return values


def _unit(key: str, quat: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(quat, axis=-1, keepdims=True)
    if (np.abs(norm - 1) > QUATERNION_TOLERANCE).any():
        raise MessageError(f"'{key}' holds no unit quaternion")
    return quat / norm
