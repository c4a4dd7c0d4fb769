"""Live frames give what the whole clip gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models import ModelConfig
from g1_vq_retarget.motion import HumanClip, MotionError
from g1_vq_retarget.retarget import Retargeter
from g1_vq_retarget.retarget.live import HumanFrame, LiveRetargeter, RobotFrame
from synthetic import human_clip, save_started, tiny_model


def causal(downsample: int, root: bool = True) -> ModelConfig:
    config = tiny_model("predictive", downsample, root)
    config.network.causal = True
    config.network.robot_encoder = "klt"
    config.root_scale = 0.4
    return config


@pytest.fixture(params=[1, 4])
def weights_of_causal(request: pytest.FixtureRequest, folder: DataFolder, tmp_path: Path) -> Path:
    return save_started(tmp_path / "causal.safetensors", folder, causal(request.param))


def frames_of(clip: HumanClip) -> list[HumanFrame]:
    return [HumanFrame.of(clip, index) for index in range(len(clip))]


def test_frame_by_frame_is_the_clip(weights_of_causal: Path) -> None:
    clip = human_clip(64, 4, fps=50.0)
    result = Retargeter(weights_of_causal).retarget(clip)
    live = LiveRetargeter(weights_of_causal, clip.rest_offsets)
    tokens, robots = [], []
    for number, frame in enumerate(frames_of(clip)):
        robot = live.push(frame)
        assert (robot is None) == (number < live.lookahead)
        if robot is not None:
            robots.append(robot)
        if number % (live.lookahead + 1) == live.lookahead:
            tokens.append(live.tokens)
    np.testing.assert_array_equal(np.stack(tokens), result.tokens.tokens)
    robot = live.robot
    lower, upper = robot.limits.T
    motion, kept = result.motion, len(robots)
    np.testing.assert_allclose([one.root_pos_w for one in robots], motion.root_pos_w[:kept], atol=1e-5)
    np.testing.assert_allclose([one.root_quat_w for one in robots], motion.root_quat_w[:kept], atol=1e-5)
    joints = np.clip([one.joint_pos for one in robots], lower, upper)
    np.testing.assert_allclose(joints, motion.joint_pos[:kept], atol=1e-5)


@pytest.mark.parametrize("weights_of_causal", [4], indirect=True)
def test_at_the_frame_that_has_its_answer_nothing_else_is_done(
    weights_of_causal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = human_clip(24, 4, fps=50.0)
    live, done = LiveRetargeter(weights_of_causal, clip.rest_offsets), []
    programs = live._traced

    class Recording:
        def __getattr__(self, name: str) -> object:
            done.append(name)
            return getattr(programs, name)

    monkeypatch.setattr(live, "_traced", Recording())
    frames = []
    for frame in frames_of(clip):
        live.push(frame)
        frames.append(tuple(done))
        done.clear()
    assert frames[:4] == [("foretell",), (), (), ("answer",)]
    assert frames[4:] == [("foretell",), ("look_back",), (), ("answer",)] * 5


def test_fewer_levels_live_are_those_of_the_clip(weights_of_causal: Path) -> None:
    clip = human_clip(40, 4, fps=50.0)
    expected = Retargeter(weights_of_causal).encode(clip, levels=1).tokens
    live, tokens = LiveRetargeter(weights_of_causal, clip.rest_offsets, levels=1), []
    for number, frame in enumerate(frames_of(clip)):
        live.push(frame)
        if number % (live.lookahead + 1) == live.lookahead:
            tokens.append(live.tokens)
    np.testing.assert_array_equal(np.stack(tokens), expected)


def test_what_is_no_humans_place_leaves_no_trace(weights_of_causal: Path) -> None:
    clip = human_clip(40, 4, fps=50.0)
    undisturbed, disturbed = (LiveRetargeter(weights_of_causal, clip.rest_offsets) for _ in range(2))
    for number, frame in enumerate(frames_of(clip)):
        if number in (0, 3, 17):
            for height in (300.0, 1e30):
                with pytest.raises(MotionError, match=r"deviations from the average human"):
                    disturbed.push(frame._replace(root_pos_w=np.array([0.0, 0.0, height])))
        expected, robot = undisturbed.push(frame), disturbed.push(frame)
        assert (expected is None) == (robot is None)
        if robot is not None and expected is not None:
            np.testing.assert_array_equal(robot.joint_pos, expected.joint_pos)
            np.testing.assert_array_equal(robot.root_pos_w, expected.root_pos_w)


def test_after_a_reset_the_robot_goes_on_from_where_it_stands(weights_of_causal: Path) -> None:
    clip = human_clip(40, 4, fps=50.0)
    live = LiveRetargeter(weights_of_causal, clip.rest_offsets)

    def poses() -> list[RobotFrame]:
        return [robot for frame in frames_of(clip) if (robot := live.push(frame)) is not None]

    first = poses()
    live.reset()
    second = poses()
    assert len(first) == len(second) == 40 - live.lookahead
    np.testing.assert_allclose([one.joint_pos for one in first], [one.joint_pos for one in second], atol=1e-6)
    # as far as the last step of the first time led, no frame is further from the one before than the motion's own are
    jump = np.linalg.norm(second[0].root_pos_w[:2] - first[-1].root_pos_w[:2])
    steps = np.linalg.norm(np.diff([one.root_pos_w[:2] for one in first], axis=0), axis=1)
    assert jump < 2 * steps.max()
    assert np.linalg.norm(second[0].root_pos_w[:2] - first[0].root_pos_w[:2]) > 5 * steps.max()


def test_what_is_no_frame_is_refused(weights_of_causal: Path) -> None:
    clip = human_clip(2, 4, fps=50.0)
    live = LiveRetargeter(weights_of_causal, clip.rest_offsets)
    frame = frames_of(clip)[0]
    with pytest.raises(MotionError, match="root_pos_w is not a finite number"):
        live.push(frame._replace(root_pos_w=np.full(3, np.nan)))


def test_models_that_cannot_be_live_are_refused(weights: Path, folder: DataFolder, tmp_path: Path) -> None:
    rest = human_clip(2, 4).rest_offsets
    with pytest.raises(UserError, match="looks ahead"):
        LiveRetargeter(weights, rest)
    joints = save_started(tmp_path / "joints.safetensors", folder, causal(4, root=False))
    with pytest.raises(UserError, match="trained without the root"):
        LiveRetargeter(joints, rest)
    good = save_started(tmp_path / "good.safetensors", folder, causal(4))
    with pytest.raises(UserError, match="levels must be 1 to 2"):
        LiveRetargeter(good, rest, levels=3)


def test_a_narrower_search_is_that_of_whole_clips(folder: DataFolder, tmp_path: Path) -> None:
    config = causal(4)
    config.quantizer.levels, config.quantizer.beam = 3, 8
    path = save_started(tmp_path / "model.safetensors", folder, config)
    clip = human_clip(64, 4, fps=50.0)
    whole = Retargeter(path)
    told = {}
    for beam in (None, 1):
        live = LiveRetargeter(path, clip.rest_offsets, beam=beam)
        tokens = []
        for number, frame in enumerate(frames_of(clip)):
            live.push(frame)
            if number % (live.lookahead + 1) == live.lookahead:
                tokens.append(live.tokens)
        whole.checkpoint.search_with(beam)
        np.testing.assert_array_equal(np.stack(tokens), whole.encode(clip).tokens)
        told[beam] = np.stack(tokens)
    assert (told[None] != told[1]).any()
