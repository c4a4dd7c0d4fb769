from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from g1_vq_retarget.retarget.live import HumanFrame, RobotFrame
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.streaming.messages import HumanMessage, MessageError, read_human, write_human, write_robot
from synthetic import human_clip, rest_offsets

FRAME = HumanFrame.of(human_clip(3), 1)


def test_a_frame_is_the_same_after_its_message() -> None:
    message = read_human(write_human(HumanMessage(12.5, FRAME, rest_offsets())))
    assert message.stamp == 12.5
    assert message.frame is not None
    for got, expected in zip(message.frame, FRAME, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-15)
    np.testing.assert_array_equal(message.rest_offsets, rest_offsets())


def test_time_and_skeleton_may_be_left_out_and_a_skeleton_may_come_alone() -> None:
    message = read_human(write_human(HumanMessage(None, FRAME)))
    assert message.stamp is None
    assert message.rest_offsets is None
    alone = read_human(write_human(HumanMessage(None, None, rest_offsets())))
    assert alone.frame is None
    np.testing.assert_array_equal(alone.rest_offsets, rest_offsets())


def test_a_quaternion_is_normalised() -> None:
    message = read_human(write_human(HumanMessage(None, FRAME._replace(root_quat_w=1.005 * FRAME.root_quat_w))))
    assert message.frame is not None
    np.testing.assert_allclose(np.linalg.norm(message.frame.root_quat_w), 1)


def altered(**changes: Any) -> bytes:
    content = json.loads(write_human(HumanMessage(1.0, FRAME, rest_offsets()))) | changes
    return json.dumps({key: value for key, value in content.items() if value != "gone"}).encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no JSON"),
        (b"\xff\x00", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"3", "object"),
        (b"{}", "'root_pos' is missing"),
        (altered(root_pos="gone"), "'root_pos' is missing"),
        (altered(root_pos=[1, 2]), "expected (3,)"),
        (altered(root_pos=[1, 2, "x"]), "no numbers"),
        (altered(root_pos={"x": 1}), "no numbers"),
        (altered(root_pos=[1, 2, float("nan")]), "finite"),
        (altered(root_pos=[1, 2, 10**400]), "no numbers"),
        (altered(root_pos=[1, 2, 1e39]), "within 10 km"),
        (altered(root_pos=[1, 2, 90]), "10 m of the floor"),
        (altered(t=[1]), "'t' has shape"),
        (altered(t=float("inf")), "finite"),
        (altered(root_quat=[2, 0, 0, 0]), "unit quaternion"),
        (altered(joint_quat=[[1, 0, 0, 0]] * 22), "expected (21, 4)"),
        (altered(joint_quat=[[1, 0, 0, 0]] * 20 + [[0, 0, 0, 0]]), "unit quaternion"),
        (altered(joint_quat=[[1, 0, 0, 0]] * 20 + [[1, 0]]), "no numbers"),
        (altered(rest_offsets=[[0, 0, 0]] * 22), "a body's"),
        (altered(rest_offsets=[[0, 90, 0]] * 22), "a body's"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_reason(data: bytes, words: str) -> None:
    with pytest.raises(MessageError) as refused:
        read_human(data)
    assert words in str(refused.value)


def test_a_robot_frame_tells_joints_by_name() -> None:
    robot = load_robot()
    frame = RobotFrame(np.array([1.0, 2, 3]), np.array([1.0, 0, 0, 0]), robot.default_joint_pos)
    content = json.loads(write_robot(frame, 7, 0.14, robot.joint_names))
    assert content["tick"] == 7
    assert content["t"] == 0.14
    assert content["root_pos"] == [1, 2, 3]
    assert content["root_quat"] == [1, 0, 0, 0]
    assert content["joint_pos"] == dict(zip(robot.joint_names, robot.default_joint_pos.tolist(), strict=True))
