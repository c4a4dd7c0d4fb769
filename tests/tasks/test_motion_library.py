from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from g1_vq_retarget.motion import MotionError, RobotClip, resample, resampled_length
from g1_vq_retarget.motion.formats.body_states import states_of
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.tasks import motion_library
from g1_vq_retarget.tasks.motion_library import MotionFrames, MotionLibrary
from synthetic import robot_clip

ROBOT = load_robot()


def moved(clip: RobotClip, metres: float) -> RobotClip:
    return replace(clip, root_pos_w=clip.root_pos_w + (metres, 0, 0))


def whole(library: MotionLibrary, name: str) -> MotionFrames:
    number = library.names.index(name)
    return library.at(torch.tensor(number), torch.arange(int(library.length[number])))


def test_every_clip_has_the_joints_bodies_and_velocities_of_the_tracking_files() -> None:
    """In the order that is asked for, and nothing runs from one clip into the next, which is far away."""
    clips = [moved(robot_clip(30 + 7 * seed, seed, 50.0, f"clip {seed}"), 1000.0 * seed) for seed in range(3)]
    bodies = ("pelvis", "torso_link", "left_wrist_yaw_link")
    library = MotionLibrary.of(clips, 50.0, joint_names=ROBOT.joint_names_isaac, body_names=bodies)
    assert (library.names, library.body_names, library.root) == (("clip 0", "clip 1", "clip 2"), bodies, 0)
    for clip in clips:
        want = states_of(clip, ROBOT, "isaac", "link origin", bodies)
        got = whole(library, clip.name)
        for values, expected in (
            (got.joint_pos, want.joint_pos),
            (got.joint_vel, want.joint_vel),
            (got.body_pos_w, want.body_pos),
            (got.body_lin_vel_w, want.body_lin_vel),
            (got.body_ang_vel_w, want.body_ang_vel),
        ):
            assert expected is not None
            assert values.dtype == torch.float32
            np.testing.assert_allclose(values, expected, atol=2e-4)
        dots = np.abs((got.body_quat_w.numpy() * want.body_quat).sum(-1))
        np.testing.assert_allclose(dots, 1.0, atol=1e-6)


def test_how_clips_are_taken_together_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [robot_clip(frames, frames, 50.0, f"{frames}") for frames in (2, 5, 9, 3)]
    together = MotionLibrary.of(clips, 50.0)
    monkeypatch.setattr(motion_library, "_CHUNK", 6)
    for one, other in zip(together.frames, MotionLibrary.of(iter(clips), 50.0).frames, strict=True):
        torch.testing.assert_close(one, other)


def test_velocities_by_hand() -> None:
    """2 m/s along x and a quarter turn a second about z, the joints at 0, at 10 fps."""
    time = np.arange(4) / 10
    half = np.pi / 4 * time
    clip = RobotClip(
        name="turn",
        fps=10.0,
        root_pos_w=np.column_stack([2 * time, 0 * time, 0 * time + 0.8]),
        root_quat_w=np.column_stack([np.cos(half), 0 * time, 0 * time, np.sin(half)]),
        joint_names=ROBOT.joint_names,
        joint_pos=np.outer(3 * time, np.ones(29)) * (np.arange(29) == 5),
    )
    frames = whole(MotionLibrary.of([clip], 10.0), "turn")
    torch.testing.assert_close(frames.body_lin_vel_w[:, 0], torch.tensor([[2.0, 0, 0]] * 4))
    torch.testing.assert_close(frames.body_ang_vel_w[:, 0], torch.tensor([[0, 0, np.pi / 2]] * 4, dtype=torch.float32))
    assert frames.joint_vel[:, 5].tolist() == pytest.approx([3.0] * 4)
    assert frames.joint_vel.abs().sum(1).tolist() == pytest.approx([3.0] * 4)


def test_another_rate_is_resampled_clip_by_clip_and_told() -> None:
    slow, fast = robot_clip(40, 0, 30.0, "slow"), robot_clip(40, 1, 50.0, "fast")
    library = MotionLibrary.of([slow, moved(fast, 1000.0)], 50.0)
    assert library.length.tolist() == [resampled_length(40, 30.0, 50.0), 40]
    assert library.source_fps == (30.0, 50.0)
    assert "2 clips" in library.summary()
    assert "at 50 fps (resampled: 1 from 30 fps)" in library.summary()
    assert "resampled" not in MotionLibrary.of([fast], 50.0).summary()
    alone = resample(slow, 50.0)
    np.testing.assert_allclose(whole(library, "slow").body_pos_w[:, 0], alone.root_pos_w, atol=1e-6)


def test_frames_beyond_a_clip_are_its_ends() -> None:
    library = MotionLibrary.of([robot_clip(5, 0, 50.0, "a"), robot_clip(8, 1, 50.0, "b")], 50.0)
    clip, frame = torch.tensor([0, 1]), torch.tensor([3, 6])
    ahead = library.at(clip[:, None], frame[:, None] + torch.tensor([0, 1, 5]))
    assert ahead.body_quat_w.shape == (2, 3, 14, 4)
    flat = library.frames.joint_pos
    torch.testing.assert_close(ahead.joint_pos, flat[torch.tensor([[3, 4, 4], [11, 12, 12]])])
    torch.testing.assert_close(library.at(clip, frame - 10).joint_pos, flat[torch.tensor([0, 5])])


def test_memory_is_that_of_the_frames() -> None:
    """4 bytes for 2 x 29 joint numbers and 13 for each of 14 bodies: 960 bytes a frame, 480 kB for 10 s at 50 Hz."""
    library = MotionLibrary.of([robot_clip(5, 0, 50.0)], 50.0)
    assert library.bytes == 5 * 960
    assert replace(library, embedding=torch.zeros(5, 8)).bytes == 5 * (960 + 8 * 4)


def test_licences_are_carried_along() -> None:
    clips = [robot_clip(4, seed, 50.0, f"{seed}") for seed in range(2)]
    assert MotionLibrary.of(clips, 50.0).licences == ("CC0 robot",)


def test_what_cannot_be_tracked_is_refused_by_name() -> None:
    clip = robot_clip(10, 0, 50.0, "walk")
    with pytest.raises(MotionError, match="clip 'walk': too short, 1 frame at 50 fps"):
        MotionLibrary.of([clip[:1]], 50.0)
    with pytest.raises(MotionError, match=r"clip 'walk': too short, 1 frame at 0\.1 fps"):
        MotionLibrary.of([clip], 0.1)
    legs = ROBOT.joint_names[:12]
    with pytest.raises(MotionError, match=r"clip 'walk': joint order: waist_yaw_joint, .* not among"):
        MotionLibrary.of([clip.with_joint_order(legs)], 50.0)
    with pytest.raises(MotionError, match="two clips are called 'walk'"):
        MotionLibrary.of([clip, clip], 50.0)
    with pytest.raises(MotionError, match="no clips"):
        MotionLibrary.of([], 50.0)
    with pytest.raises(MotionError, match="fps must be a positive number"):
        MotionLibrary.of([clip], 0.0)
    with pytest.raises(ValueError, match="pelvis not among"):
        MotionLibrary.of([clip], 50.0, body_names=("torso_link",))
