from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.ik_targets import Place, Posture, ik_targets
from g1_vq_retarget.data.pairs import (
    KeepConfig,
    PairConfig,
    PairResult,
    held_share,
    judge,
    make_pair,
    tracking_error,
)
from g1_vq_retarget.data.sample import sample_clips
from g1_vq_retarget.files import sha256_of
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.robot import load_robot
from synthetic import human_clip, robot_clip

pytest.importorskip("mink")
ROBOT = load_robot()
FRAMES = 200


def standing() -> RobotClip:
    """The default pose, soles on the floor."""
    root = np.tile([0.0, 0.0, 0.76], (FRAMES, 1))
    turn = np.tile([1.0, 0.0, 0.0, 0.0], (FRAMES, 1))
    joint_pos = np.tile(ROBOT.default_joint_pos, (FRAMES, 1))
    return RobotClip("stand", 30.0, root, turn, ROBOT.joint_names, joint_pos)


def judged(clip: RobotClip, tracking: np.ndarray | None = None, **config: float) -> PairResult:
    tracking = np.zeros(len(clip)) if tracking is None else tracking
    human = replace(human_clip(len(clip)), name="stand")
    return judge(human, clip, tracking, ROBOT, KeepConfig(**config), {"name": "stand"})


def spans(result: PairResult) -> list[tuple[int, int]]:
    return [(part.begin, part.end) for part in result.parts]


def test_a_sound_clip_is_kept_whole_under_its_own_name() -> None:
    result = judged(standing())
    assert spans(result) == [(0, FRAMES)]
    assert result.parts[0].robot.name == result.parts[0].human.name == "stand"
    assert result.report["status"] == "kept"
    assert result.report["kept_frames"] == FRAMES
    assert result.report["cut"] == {}


def raised(begin: int, end: int) -> RobotClip:
    """Lifted above 5 cm from `begin` to `end`, too slowly for a fall."""
    frames, root = np.arange(FRAMES), standing().root_pos_w.copy()
    root[:, 2] += np.minimum(0.053 + 0.006 * np.minimum(frames - begin, end - 1 - frames), 0.15).clip(0)
    return replace(standing(), root_pos_w=root)


def sunk(begin: int, end: int) -> RobotClip:
    clip, root = standing(), standing().root_pos_w.copy()
    root[begin:end, 2] -= 0.05
    return replace(clip, root_pos_w=root)


def legs_crossed(begin: int, end: int) -> RobotClip:
    clip, joint_pos = standing(), standing().joint_pos.copy()
    joint_pos[begin:end, ROBOT.joint_names.index("left_hip_roll_joint")] = -0.4
    return replace(clip, joint_pos=joint_pos)


@pytest.mark.parametrize(
    ("cause", "make"), [("float", raised), ("penetration", sunk), ("collision", legs_crossed)], ids=lambda value: value
)
def test_what_is_beyond_a_bound_is_cut_out_with_a_margin(cause: str, make: Callable[[int, int], RobotClip]) -> None:
    result = judged(make(80, 120), margin=0.2)
    # worked by hand: 0.2 s are 6 frames; 74 frames before and 74 behind, each 2.4 s
    assert spans(result) == [(0, 74), (126, 200)]
    assert result.report["cut"].keys() == {cause}
    assert result.report["cut"][cause] == 40
    assert [part.robot.name for part in result.parts] == ["stand_00000-00074", "stand_00126-00200"]
    for part in result.parts:
        np.testing.assert_array_equal(part.robot.joint_pos, make(80, 120).joint_pos[part.begin : part.end])
        np.testing.assert_array_equal(part.human.joint_quat, human_clip(FRAMES).joint_quat[part.begin : part.end])


def test_parts_that_are_too_short_are_left_out_and_a_clip_without_parts_is_rejected_with_the_reason() -> None:
    tracking = np.where((np.arange(FRAMES) > 50) & (np.arange(FRAMES) < 190), 0.4, 0.0)
    result = judged(standing(), tracking)
    assert result.parts == []
    assert result.report["status"] == "rejected"
    assert "tracking in 70% of the frames" in result.report["reason"]  # 139 of 200
    assert spans(judged(standing(), tracking, min_duration=1.0)) == [(0, 45)]


def test_a_part_whose_feet_slide_is_left_out() -> None:
    clip = standing()
    slid = replace(clip, root_pos_w=clip.root_pos_w + np.outer(np.arange(FRAMES) / 30, [0.5, 0, 0]))  # m/s
    result = judged(slid)
    assert result.parts == []
    assert result.report["cut"] == {"slide": FRAMES}
    assert spans(judged(slid, max_slide=0.6)) == [(0, FRAMES)]


def test_joints_at_their_limits_are_counted() -> None:
    clip, joint_pos = standing(), standing().joint_pos.copy()
    joint_pos[10:, :10] = ROBOT.limits[:10, 1]
    share = held_share(replace(clip, joint_pos=joint_pos), ROBOT)
    np.testing.assert_allclose(share[:10], 0)
    np.testing.assert_allclose(share[10:], 10 / 29)


def test_tracking_error_is_how_far_bodies_are_from_their_targets() -> None:
    human = sample_clips(0)[0][:60]
    clip = make_found(human)
    error = tracking_error(human, clip, ROBOT)
    assert error.shape == (60,)
    assert error.mean() < 0.05
    moved = replace(clip, root_pos_w=clip.root_pos_w + (0, 0, 1))
    np.testing.assert_allclose(tracking_error(human, moved, ROBOT), 1, atol=0.1)


def make_found(human: HumanClip) -> RobotClip:
    from g1_vq_retarget.data.inverse_kinematics import retarget_by_ik

    return retarget_by_ik(human, ROBOT)


def test_a_posture_turns_pelvis_and_torso_forwards_and_leaves_the_hips_in_place() -> None:
    human = sample_clips(0)[0][:30]

    def root(posture: Posture) -> tuple:
        place, turn, _ = ik_targets(human, ROBOT, posture)[:3]
        assert isinstance(place, Place)
        assert not isinstance(turn, Place)
        hip = np.mean([ROBOT.links[index].pos for index in ROBOT.link_indices([leg[0] for leg in ROBOT.legs])], axis=0)
        return turn.rotation, place.pos + turn.rotation.apply(hip)

    upright, hips = root(Posture())
    leaning, same_hips = root(Posture(pelvis_lean=0.2))
    np.testing.assert_allclose((upright.inv() * leaning).as_rotvec(), np.tile([0, 0.2, 0], (30, 1)), atol=1e-9)
    np.testing.assert_allclose(same_hips, hips, atol=1e-4)  # m; as low as legs reach


# Files


def test_a_file_of_human_motion_gives_both_sides_and_a_report(tmp_path: Path) -> None:
    human = sample_clips(0)[0][:75]
    path = tmp_path / "walk.npz"
    save_motion(human, path)
    result = make_pair(path, "walk", PairConfig(refine=False))
    (part,) = result.parts
    assert (part.robot.fps, len(part.robot), part.robot.name) == (human.fps, 75, "walk")
    assert part.robot.provenance.licence == human.provenance.licence
    report = result.report
    assert report["sha256"] == sha256_of(path)
    assert report["quality"]["self_collision_share"] == 0
    assert 0 < report["tracking_mm"] < 50
    assert report["parts"] == [{"name": "walk", "begin": 0, "end": 75}]


def test_what_cannot_be_a_pair_is_rejected_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    save_motion(robot_clip(20), tmp_path / "robot.npz")
    save_motion(human_clip(20), tmp_path / "short.npz")
    for name, reason in (
        ("notes.txt", "no motion file known here"),
        ("robot.npz", "holds a robot's motion"),
        ("short.npz", "shorter than --keep.min-duration 2 s"),
    ):
        result = make_pair(tmp_path / name, "clip", PairConfig(refine=False))
        assert result.parts == []
        assert result.report["status"] == "rejected"
        assert reason in result.report["reason"]
        assert result.report["kept_frames"] == 0
