from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, RobotClip, resample
from g1_vq_retarget.motion.root import heading
from g1_vq_retarget.motion.skeleton import HUMAN_PARENTS
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.robot import build_mjcf, load_robot
from g1_vq_retarget.viewer.scene import Scene, build_scene
from synthetic import human_clip, other_robot_clip, robot_clip

MOMENTS = (0.0, 0.5, 1.0)  # shares of the scene: start, middle, end


def mujoco_poses(clip: RobotClip, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and quaternions (wxyz) of the links in the world, by MuJoCo."""
    model: mujoco.MjModel = mujoco.MjModel.from_xml_string(build_mjcf(load_robot(), floor=False))  # type: ignore[attr-defined]
    data = mujoco.MjData(model)  # type: ignore[attr-defined]
    data.qpos = [*clip.root_pos_w[frame], *clip.root_quat_w[frame], *clip.joint_pos[frame]]
    mujoco.mj_kinematics(model, data)  # type: ignore[attr-defined]
    return data.xpos[1:], data.xquat[1:]


@pytest.mark.parametrize("share", MOMENTS)
def test_robots_are_where_forward_kinematics_puts_them(scene: Scene, share: float) -> None:
    state = scene.at(share * scene.duration)
    for name in ("truth", "model_1", "model_2"):
        figure = scene.figure(name)
        assert figure is not None
        assert isinstance(figure.clip, RobotClip)
        shown = state.figures[name]
        pos, quat = mujoco_poses(figure.clip, min(state.frame, len(figure) - 1))
        np.testing.assert_allclose(shown.pos, pos, atol=1e-4)
        np.testing.assert_allclose(np.abs((shown.quat_wxyz * quat).sum(axis=1)), 1.0, atol=1e-6)


@pytest.mark.parametrize("share", MOMENTS)
def test_the_human_keeps_its_pose_at_the_robots_size(scene: Scene, share: float) -> None:
    human = resample(human_clip(90, 0), 50.0)
    state = scene.at(share * scene.duration)
    shown = state.figures["human"].pos
    ratio = scene.robot.leg_length / human.leg_length
    expected = human.joint_pos_w[state.frame]
    parents = list(HUMAN_PARENTS[1:])
    lengths = np.linalg.norm(shown[1:] - shown[parents], axis=1)
    np.testing.assert_allclose(lengths, ratio * np.linalg.norm(expected[1:] - expected[parents], axis=1), atol=1e-4)
    # the way up is not turned, and all distances agree
    np.testing.assert_allclose(shown[:, 2], ratio * expected[:, 2], atol=1e-4)
    np.testing.assert_allclose(
        np.linalg.norm(shown[:, None] - shown, axis=-1),
        ratio * np.linalg.norm(expected[:, None] - expected, axis=-1),
        atol=1e-4,
    )


def test_a_model_moves_as_it_retargets(scene: Scene, retargeter: Retargeter) -> None:
    motion = retargeter.retarget(human_clip(90, 0)).motion
    shown = scene.figures[2].clip
    assert isinstance(shown, RobotClip)
    np.testing.assert_array_equal(shown.joint_pos, motion.joint_pos)
    np.testing.assert_allclose(shown.root_pos_w[:, 2], motion.root_pos_w[:, 2])
    way = np.linalg.norm(motion.root_pos_w[-1, :2] - motion.root_pos_w[0, :2])
    assert np.linalg.norm(shown.root_pos_w[-1, :2]) == pytest.approx(way)


def test_all_start_above_the_origin_and_the_first_along_x(scene: Scene) -> None:
    for figure in scene.figures:
        np.testing.assert_allclose(figure.clip.root_pos_w[0, :2], 0.0, atol=1e-12)
    human, _, model, _ = (heading(figure.clip.body_rotation)[0] for figure in scene.figures)
    assert human == pytest.approx(0.0, abs=1e-9)
    assert model == pytest.approx(0.0, abs=0.2)  # the robot's start is the human's


def test_time_and_frames_go_at_the_models_rate(scene: Scene) -> None:
    assert scene.fps == 50.0
    assert scene.frames == len(resample(human_clip(90, 0), 50.0))
    assert [scene.frame_at(time) for time in (-1.0, 0.0, 0.021, 0.5, 99.0)] == [0, 0, 1, 25, scene.frames - 1]
    assert scene.at(0.5).time == pytest.approx(0.5)


def test_what_is_shorter_holds_its_last_frame_and_says_so(scene: Scene) -> None:
    truth = scene.figure("truth")
    assert truth is not None
    assert len(truth) < scene.frames
    last, beyond = scene.at_frame(len(truth) - 1), scene.at_frame(len(truth))
    assert not last.figures["truth"].ended
    assert beyond.figures["truth"].ended
    np.testing.assert_array_equal(beyond.figures["truth"].pos, last.figures["truth"].pos)
    # no truth, no error
    assert last.figures["model_1"].error_mm is not None
    assert beyond.figures["model_1"].error_mm is None
    curve = scene.models[0].error_curve_mm
    assert curve is not None
    assert len(curve) == len(truth)


def test_the_error_is_the_distance_in_the_pelvis_frame(retargeter: Retargeter) -> None:
    human = human_clip(60, 0)
    made = retargeter.retarget(human).motion
    # elsewhere, turned and with another elbow: only what hangs on that elbow is off, and by no place or heading
    elbow = made.joint_names.index("left_elbow_joint")
    joints = made.joint_pos.copy()
    joints[:, elbow] += 0.3
    truth = replace(made, joint_pos=joints, root_pos_w=made.root_pos_w + (5, -3, 0.2))
    scene = build_scene({"model": retargeter}, human, truth)
    error = scene.models[0].error_mm
    assert error is not None
    below = {link for link in range(len(scene.robot.links)) if _hangs_on(scene, link, "left_elbow_link")}
    for link, name in enumerate(scene.robot.link_names):
        # the elbow's own origin lies on its axis
        if link in below and name != "left_elbow_link":
            assert error[:, link].min() > 1.0, name
        else:
            np.testing.assert_allclose(error[:, link], 0.0, atol=1e-6, err_msg=name)
    wrist = scene.robot.link_names.index("left_wrist_yaw_link")
    # by hand: a chord of 0.3 rad at the wrist's distance from the axis
    poses = scene.at_frame(10).figures["model_1"]
    hinge = scene.robot.links[scene.robot.link_names.index("left_elbow_link")].joint
    assert hinge is not None
    arm = poses.pos[wrist] - poses.pos[scene.robot.link_names.index("left_elbow_link")]
    axis = _rotate(poses.quat_wxyz[scene.robot.link_names.index("left_elbow_link")], np.array(hinge.axis))
    radius = np.linalg.norm(arm - (arm @ axis) * axis)
    assert error[10, wrist] == pytest.approx(2000 * radius * np.sin(0.15), rel=1e-6)


def test_tokens_cover_the_time_of_the_motion(scene: Scene) -> None:
    for figure in scene.models:
        assert figure.tokens is not None
        assert figure.token_seconds == pytest.approx(4 / 50)
        covered = len(figure.tokens.tokens) * figure.token_seconds
        seconds = len(figure) / scene.fps
        assert seconds <= covered + 1e-9
        assert covered < seconds + figure.token_seconds + 1e-9


def test_feet_on_the_floor_are_in_contact_and_lifted_ones_are_not(retargeter: Retargeter) -> None:
    robot = load_robot()
    clip = robot_clip(40, 0)
    stand = replace(
        clip,
        joint_pos=np.tile(robot.default_joint_pos, (40, 1)),
        root_pos_w=np.tile([0.0, 0.0, robot.default_root_height], (40, 1)),
        root_quat_w=np.tile([1.0, 0.0, 0.0, 0.0], (40, 1)),
    )
    for height, touches in ((0.0, True), (0.05, False)):
        lifted = replace(stand, root_pos_w=stand.root_pos_w + (0, 0, height))
        contact = build_scene({"model": retargeter}, lifted).figures[0].contact
        assert contact is not None
        assert contact.all() == touches
        assert contact.any() == touches


def test_figures_stand_side_by_side_and_the_first_is_followed(scene: Scene) -> None:
    for frame in (0, scene.frames - 1):
        loose = scene.offsets(frame, 1.5, together=False)
        apart, upon = scene.offsets(frame, 1.5), scene.offsets(frame, 0.0)
        for number, figure in enumerate(scene.figures):
            lane = 1.5 * (number - 1.5)
            np.testing.assert_allclose(loose[figure.name], (0.0, lane, 0.0))
            np.testing.assert_allclose(apart[figure.name] - upon[figure.name], (0.0, lane, 0.0), atol=1e-12)
        np.testing.assert_allclose(upon["human"], 0.0)


def test_keeping_together_takes_out_a_steady_drift(retargeter: Retargeter) -> None:
    human = human_clip(180, 0)
    made = retargeter.retarget(human).motion
    drift = np.outer(np.arange(len(made)) / made.fps, (0.3, -0.4, 0.0))  # half a metre a second
    scene = build_scene({"model": retargeter}, human, replace(made, root_pos_w=made.root_pos_w + drift))
    frame = len(made) // 2
    offsets = scene.offsets(frame, 0.0)
    apart = offsets["model_1"] - offsets["truth"]
    assert np.linalg.norm(apart) == pytest.approx(0.5 * frame / made.fps, rel=1e-3)
    state = scene.at_frame(frame)
    places = [state.figures[name].pos[0] + offsets[name] for name in ("truth", "model_1")]
    np.testing.assert_allclose(*places, atol=1e-3)


def test_without_a_reference_there_is_no_truth_and_no_error(retargeter: Retargeter) -> None:
    scene = build_scene({"model": retargeter}, human_clip(40, 0))
    assert [figure.name for figure in scene.figures] == ["human", "model_1"]
    assert scene.models[0].error_mm is None
    assert scene.at(0.1).figures["model_1"].error_mm is None


def test_a_robots_motion_is_read_by_the_robot_encoder_and_is_its_own_truth(retargeter: Retargeter) -> None:
    clip = robot_clip(60, 0)
    scene = build_scene({"model": retargeter}, clip)
    assert [figure.name for figure in scene.figures] == ["truth", "model_1"]
    tokens = scene.models[0].tokens
    assert tokens is not None
    np.testing.assert_array_equal(tokens.tokens, retargeter.encode(clip).tokens)
    assert scene.models[0].error_mm is not None


def test_one_frame_is_a_scene(retargeter: Retargeter) -> None:
    scene = build_scene({"model": retargeter}, human_clip(1, 0), robot_clip(1, 0))
    assert scene.frames == 1
    assert scene.duration == 0.0
    assert scene.at(3.0).frame == 0


def test_licences_of_all_that_is_shown_are_told(scene: Scene) -> None:
    for clip in (human_clip(9, 0), robot_clip(9, 0)):
        assert clip.provenance.licence
        assert clip.provenance.licence in scene.licence


@pytest.mark.parametrize("count", [0, 5])
def test_one_to_four_models_are_shown(retargeter: Retargeter, count: int) -> None:
    with pytest.raises(UserError, match="one to 4"):
        build_scene({str(number): retargeter for number in range(count)}, human_clip(9, 0))


def test_a_reference_of_another_robot_is_refused(retargeter: Retargeter) -> None:
    with pytest.raises(UserError, match="joint"):
        build_scene({"model": retargeter}, human_clip(9, 0), other_robot_clip(9, 0))


def _hangs_on(scene: Scene, link: int, name: str) -> bool:
    while link >= 0:
        if scene.robot.link_names[link] == name:
            return True
        link = scene.robot.parents[link]
    return False


def _rotate(quat_wxyz: np.ndarray, vector: np.ndarray) -> np.ndarray:
    w, axis = quat_wxyz[0], quat_wxyz[1:]
    return vector + 2 * np.cross(axis, np.cross(axis, vector) + w * vector)


def test_the_human_clip_is_not_changed(retargeter: Retargeter) -> None:
    clip: HumanClip = human_clip(9, 0)
    before = clip.root_pos_w.copy()
    build_scene({"model": retargeter}, clip)
    np.testing.assert_array_equal(clip.root_pos_w, before)
