from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.process import WindowConfig
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, MotionError, RobotClip, resample, resampled_length
from g1_vq_retarget.motion.root import heading
from g1_vq_retarget.retarget import MotionTokens, Retargeter
from g1_vq_retarget.robot import load_robot
from synthetic import data_folder, human_clip, robot_clip, save_started, scaled, tiny_model

Clip = HumanClip | RobotClip


@pytest.fixture(params=["human", "robot"])
def clip(request: pytest.FixtureRequest) -> Clip:
    return human_clip(90, 4) if request.param == "human" else robot_clip(90, 4)


def assert_same_motion(motion: RobotClip, expected: RobotClip) -> None:
    for name in ("root_pos_w", "root_quat_w", "joint_pos"):
        np.testing.assert_array_equal(getattr(motion, name), getattr(expected, name))
    assert (motion.name, motion.fps, motion.joint_names) == (expected.name, expected.fps, expected.joint_names)
    assert motion.provenance == expected.provenance


def at_frames(frames: int, clip: Clip) -> Clip:
    return human_clip(frames, 4) if isinstance(clip, HumanClip) else robot_clip(frames, 4)


# Tokens stand for the motion


def test_retargeting_is_encoding_and_decoding(retargeter: Retargeter, clip: Clip) -> None:
    result = retargeter.retarget(clip)
    motion, held = retargeter.decode(retargeter.encode(clip))
    assert_same_motion(motion, result.motion)
    assert held == result.held


def test_a_token_file_decodes_to_the_same_motion(
    retargeter: Retargeter, clip: Clip, weights: Path, tmp_path: Path
) -> None:
    result = retargeter.retarget(clip)
    result.tokens.save(tmp_path / "tokens.npz")
    motion, _ = Retargeter(weights).decode(MotionTokens.load(tmp_path / "tokens.npz"))
    assert_same_motion(motion, result.motion)


@pytest.mark.parametrize("kind", ["rvq", "predictive"])
def test_fewer_levels_are_a_lower_rate(folder: DataFolder, tmp_path: Path, clip: Clip, kind: str) -> None:
    retargeter = Retargeter(save_started(tmp_path / "run", folder, tiny_model(kind)))
    few, all_ = (retargeter.retarget(clip, levels=levels) for levels in (1, None))
    assert few.tokens.tokens.shape[1] == len(few.tokens.codebook_sizes) == 1
    assert few.tokens.bits == pytest.approx(all_.tokens.bits / 2)
    few.tokens.save(tmp_path / "few.npz")
    motion, _ = retargeter.decode(MotionTokens.load(tmp_path / "few.npz"))
    assert_same_motion(motion, few.motion)
    with pytest.raises(UserError, match=r"levels must be 1 to 2.*it is 3"):
        retargeter.encode(clip, levels=3)


def test_tokens_of_other_weights_are_refused(
    retargeter: Retargeter, clip: Clip, folder: DataFolder, tmp_path: Path
) -> None:
    other = Retargeter(save_started(tmp_path / "other.safetensors", folder, seed=1))
    with pytest.raises(
        UserError, match=rf"tokens of '{clip.name}' were made by other weights than .*other\.safetensors"
    ):
        other.decode(retargeter.encode(clip))


def test_rate_is_that_of_the_model(retargeter: Retargeter) -> None:
    assert retargeter.bits_per_second == pytest.approx(np.log2([20, 3, 8, 8]).sum() * 50 / 4)


def test_the_motion_tells_its_origin_and_licence(retargeter: Retargeter, clip: Clip) -> None:
    motion = retargeter.retarget(clip).motion
    assert motion.name == clip.name
    assert clip.provenance.source in motion.provenance.source
    assert motion.provenance.licence == "CC0 human; CC0 robot"  # of the clip and of the data the model was trained on


# Time


@pytest.mark.parametrize("frames", [1, 7, 64, 301])
def test_motion_of_any_length_keeps_its_time(retargeter: Retargeter, clip: Clip, frames: int) -> None:
    clip = at_frames(frames, clip)
    motion = retargeter.retarget(clip).motion
    assert motion.fps == 50
    assert len(motion) == resampled_length(frames, clip.fps, 50)
    assert motion.duration == pytest.approx(clip.duration, abs=1 / 50 + 1e-9)
    assert np.isfinite(motion.joint_pos).all()


@pytest.mark.parametrize("fps", [24, 50, 60, 120])
def test_the_rate_of_the_input_does_not_change_the_speed(retargeter: Retargeter, fps: float) -> None:
    # the same movement sampled at another rate
    expected = retargeter.encode(robot_clip(120, 4, fps=200))
    clip = resample(robot_clip(120, 4, fps=200), fps)
    tokens = retargeter.encode(clip)
    assert abs(tokens.frames - expected.frames) <= 50 / fps + 1
    steps = min(len(tokens.tokens), len(expected.tokens)) - 1
    assert (tokens.tokens[:steps] == expected.tokens[:steps]).mean() > 0.9


def test_the_network_runs_over_the_whole_clip_once(retargeter: Retargeter) -> None:
    # a long clip's middle does not depend on where it was cut, away from the cuts
    clip = robot_clip(400, 4, fps=50)
    whole = retargeter.encode(clip).tokens
    part = retargeter.encode(clip[80:320]).tokens
    np.testing.assert_array_equal(part[4:-4], whole[24:76])


# Place


def test_a_robot_clip_keeps_start_and_heading(retargeter: Retargeter) -> None:
    clip = robot_clip(90, 4)
    motion = retargeter.retarget(clip).motion
    np.testing.assert_allclose(motion.root_pos_w[0, :2], clip.root_pos_w[0, :2], atol=1e-9)
    np.testing.assert_allclose(heading(motion.body_rotation)[0], heading(clip.body_rotation)[0], atol=1e-9)


def test_a_human_start_is_shrunk_by_the_legs(retargeter: Retargeter) -> None:
    clip = human_clip(90, 4)
    motion = retargeter.retarget(clip).motion
    ratio = load_robot().leg_length / clip.leg_length
    np.testing.assert_allclose(motion.root_pos_w[0, :2], ratio * clip.root_pos_w[0, :2], atol=1e-9)
    np.testing.assert_allclose(heading(motion.body_rotation)[0], heading(clip.body_rotation)[0], atol=1e-9)


def test_a_human_of_another_size_gives_the_same_motion(retargeter: Retargeter) -> None:
    small, tall = (retargeter.retarget(scaled(human_clip(90, 4), size)) for size in (0.7, 1.2))
    np.testing.assert_array_equal(small.tokens.tokens, tall.tokens.tokens)
    np.testing.assert_allclose(small.motion.root_pos_w, tall.motion.root_pos_w, atol=1e-9)


def test_motion_elsewhere_gives_the_same_motion_elsewhere(retargeter: Retargeter) -> None:
    clip = robot_clip(90, 4)
    turn = Rotation.from_euler("z", 1.0)
    moved = replace(
        clip,
        root_pos_w=turn.apply(clip.root_pos_w) + np.array((3, -4, 0)),
        root_quat_w=(turn * clip.root_rotation).as_quat(scalar_first=True),
    )
    here, there = retargeter.retarget(clip), retargeter.retarget(moved)
    np.testing.assert_array_equal(there.tokens.tokens, here.tokens.tokens)
    expected = turn.apply(here.motion.root_pos_w) + np.array((3, -4, 0))
    np.testing.assert_allclose(there.motion.root_pos_w, expected, atol=1e-6)


def test_joints_go_by_name(retargeter: Retargeter) -> None:
    clip = robot_clip(60, 4)
    shuffled = clip.with_joint_order(load_robot().joint_names_isaac)
    assert_same_motion(retargeter.retarget(shuffled).motion, retargeter.retarget(clip).motion)
    with pytest.raises(MotionError, match="left_hip_pitch_joint"):
        retargeter.retarget(replace(clip, joint_names=clip.joint_names[1:], joint_pos=clip.joint_pos[:, 1:]))


def test_without_a_root_stream_the_robot_stays_where_it_starts(folder: DataFolder, tmp_path: Path, clip: Clip) -> None:
    retargeter = Retargeter(save_started(tmp_path / "joints.safetensors", folder, tiny_model(root=False)))
    motion = retargeter.retarget(clip).motion
    start = motion.root_pos_w[0]
    np.testing.assert_allclose(motion.root_pos_w, np.tile(start, (len(motion), 1)), atol=1e-12)
    assert start[2] == pytest.approx(load_robot().default_root_height)
    up = motion.root_rotation.apply((0, 0, 1))
    np.testing.assert_allclose(up, np.tile((0, 0, 1), (len(motion), 1)), atol=1e-9)


# Limits


def test_without_a_root_stream_nothing_is_projected(folder: DataFolder, tmp_path: Path, clip: Clip) -> None:
    retargeter = Retargeter(save_started(tmp_path / "joints.safetensors", folder, tiny_model(root=False)))
    with pytest.raises(UserError, match="codes no root"):
        retargeter.project(retargeter.retarget(clip).motion)


def test_joints_are_held_at_their_limits_and_what_was_held_is_told(
    folder: DataFolder, tmp_path: Path, clip: Clip
) -> None:
    retargeter = Retargeter(save_started(tmp_path / "wild.safetensors", folder))
    assert retargeter.retarget(clip).held.share < 0.5
    spec = retargeter.spec
    retargeter.spec = replace(spec, robot_std=[10 * value for value in spec.robot_std])
    tokens = retargeter.encode(clip)
    motion, held = retargeter.decode(tokens)
    lower, upper = load_robot().limits.T
    assert (motion.joint_pos >= lower).all()
    assert (motion.joint_pos <= upper).all()
    # the same, worked from what the network says
    with torch.inference_mode():
        features = retargeter.model.decode(torch.from_numpy(tokens.tokens)[None], tokens.frames)[0].numpy()
    joints = features[:, :29].astype(float) * retargeter.spec.robot_std[:29] + retargeter.spec.robot_mean[:29]
    excess = np.maximum(np.maximum(lower - joints, joints - upper), 0)
    assert held.share == pytest.approx((excess > 0).mean())
    assert held.largest == pytest.approx(excess.max())
    assert held.share > 0.05


# Models


def test_a_model_of_another_rate_answers_at_its_own(tmp_path: Path, clip: Clip) -> None:
    folder = data_folder(tmp_path / "data", config=WindowConfig(fps=20, window=16, stride=8))
    motion = Retargeter(save_started(tmp_path / "slow.safetensors", folder)).retarget(clip).motion
    assert motion.fps == 20
    assert motion.duration == pytest.approx(clip.duration, abs=1 / 20 + 1e-9)


def test_a_model_without_a_human_side_says_so(tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "data", {"train": [(robot_clip(90), None)]})
    retargeter = Retargeter(save_started(tmp_path / "robot.safetensors", folder))
    assert len(retargeter.retarget(robot_clip(30)).motion) == resampled_length(30, 30, 50)
    with pytest.raises(UserError, match=r"robot\.safetensors.*without human motion"):
        retargeter.retarget(human_clip(30))


def test_a_missing_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone: no such file"):
        Retargeter(tmp_path / "gone")


def test_the_root_of_a_robots_own_tokens_is_led(folder: DataFolder, tmp_path: Path) -> None:
    """Whatever encodes gives the tokens of `encode_robot`, corrections of the root included."""
    config = tiny_model("predictive")
    config.network.robot_encoder = "klt"
    weights = save_started(tmp_path / "klt.safetensors", folder, config)
    retargeter = Retargeter(weights)
    with torch.no_grad():
        retargeter.model.decoder.get_parameter("linear.weight")[:, -3:] *= 0.5
        clip = resample(robot_clip(90, 4), 50.0)
        rows = torch.as_tensor(retargeter.spec.robot_features(clip), dtype=torch.float32)[None]
        expected = retargeter.model.encode_robot(rows).tokens[0]
        uncorrected = retargeter.model.quantize(retargeter.model.robot_encoder(retargeter.model.fill(rows))).tokens[0]
    assert not torch.equal(expected, uncorrected)
    np.testing.assert_array_equal(retargeter.encode(clip).tokens, expected)
