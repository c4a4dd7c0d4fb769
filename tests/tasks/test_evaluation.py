from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import roma
import torch
from torch import Tensor

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.tasks.evaluation import (
    Evaluation,
    EvaluationConfig,
    RobotState,
    Starts,
    draw_starts,
    evaluate,
    failures,
)
from g1_vq_retarget.tasks.evaluation_report import compared, described, draw, report, save_report, table
from g1_vq_retarget.tasks.mdp.frames import multiply, rotate
from g1_vq_retarget.tasks.motion_library import MotionLibrary
from synthetic import robot_clip

FPS = 50.0
LENGTHS = (40, 60)
ROBOT = load_robot()
# of the motion, at which step, for which robots
Change = Callable[[RobotState, int, Tensor], RobotState]


def motion(*lengths: int, first_seed: int = 0) -> MotionLibrary:
    clips = [replace(robot_clip(n, first_seed + i, fps=FPS), name=f"clip {i}") for i, n in enumerate(lengths)]
    return MotionLibrary.of(clips, FPS)


@pytest.fixture(scope="module")
def truth() -> MotionLibrary:
    return motion(*LENGTHS)


class Ghost:
    """Robots that are where the motion is, but for a change."""

    def __init__(self, library: MotionLibrary, change: Change, num_envs: int = 4) -> None:
        self.library, self.change, self.num_envs = library, change, num_envs
        self.begun = list[tuple[int, int]]()

    def begin(self, clip: Tensor, frame: Tensor) -> tuple[Tensor, RobotState]:
        assert clip.shape == frame.shape == (self.num_envs,)
        self.clip, self.frame, self.steps = clip, frame, 0
        self.begun += zip(clip.tolist(), frame.tolist(), strict=True)
        return self._seen(), self._state()

    def step(self, actions: Tensor) -> tuple[Tensor, RobotState]:
        assert torch.equal(actions, 2 * self._seen())
        self.steps += 1
        return self._seen(), self._state()

    def _seen(self) -> Tensor:
        return self.frame[:, None] + self.steps + 1.0

    def _state(self) -> RobotState:
        frames = self.library.at(self.clip, self.frame + self.steps)
        state = RobotState(frames.joint_pos, frames.body_pos_w, frames.body_quat_w)
        return self.change(state, self.steps, self.clip)


def look(library: MotionLibrary, change: Change, num_envs: int = 4, **config: float) -> Evaluation:
    chosen = EvaluationConfig(**{"starts": 3, "seconds": 0.4, **config})  # type: ignore[arg-type]
    return evaluate(Ghost(library, change, num_envs), lambda seen: 2 * seen, library, chosen)


def exact(state: RobotState, step: int, clip: Tensor) -> RobotState:
    return state


def moved(x: float = 0.0, z: float = 0.0) -> Change:
    """So many metres further a step."""
    return lambda state, step, clip: state._replace(body_pos_w=state.body_pos_w + step * torch.tensor([x, 0.0, z]))


# Where it begins


def test_starts_leave_time_for_the_horizon_and_a_frame_to_look_ahead() -> None:
    starts = draw_starts({"a": 100, "b": 22, "c": 23}, 50.0, EvaluationConfig(starts=400, seconds=0.4))
    long = starts.clip == 0
    assert starts.frame[long].min() == 0
    assert starts.frame[long].max() == 100 - 2 - 20
    assert (starts.steps == 20).all()
    # the second has room for one start alone, of the third there are two
    assert (starts.clip == 1).sum() == 1
    assert set(starts.frame[starts.clip == 2].tolist()) == {0, 1}


def test_a_shorter_clip_is_followed_once_from_its_first_frame_to_its_last_but_one() -> None:
    starts = draw_starts({"a": 10}, 50.0, EvaluationConfig(starts=100, seconds=1.0))
    assert [values.tolist() for values in starts] == [[0], [0], [8]]


def test_starts_are_uniform_and_settled_by_the_seed() -> None:
    def frames(seed: int) -> Tensor:
        return draw_starts({"a": 1002}, 50.0, EvaluationConfig(starts=4000, seconds=10.0, seed=seed)).frame

    assert torch.equal(frames(1), frames(1))
    assert not torch.equal(frames(1), frames(2))
    counts = torch.histc(frames(1).double(), bins=5, min=0, max=500)
    assert ((counts / 4000 - 0.2).abs() < 0.03).all()


@pytest.mark.parametrize("wrong", [{"starts": 0}, {"seconds": 0.0}, {"seconds": math.nan}])
def test_what_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(UserError, match="starts must be at least 1 and seconds positive"):
        EvaluationConfig(**wrong)


def test_a_clip_without_a_step_is_refused() -> None:
    with pytest.raises(UserError, match="clip 'jump' has 2 frames"):
        draw_starts({"walk": 10, "jump": 2}, 50.0, EvaluationConfig())


# What is measured


def test_who_is_where_the_motion_is_makes_no_error(truth: MotionLibrary) -> None:
    evaluation = look(truth, exact)
    assert evaluation.success.all()
    assert torch.equal(evaluation.steps, evaluation.starts.steps)
    figures = evaluation.figures()
    assert figures["starts"] == 6
    assert figures["horizon_s"] == figures["survived_s"] == pytest.approx(0.4)
    for name in ("global_mm", "relative_mm", "joint_deg", "velocity_m_s", "acceleration_m_s2"):
        assert figures[name] == pytest.approx(0.0, abs=2e-2), name


def test_errors_of_a_robot_that_glides_away(truth: MotionLibrary) -> None:
    """6 mm further along the floor every step: 0.3 m/s at a constant speed, and the pose is not touched."""
    figures = look(truth, moved(x=0.006)).figures()
    assert figures["success"] == 1.0
    assert figures["global_mm"] == pytest.approx(6 * (20 + 1) / 2, abs=0.01)
    assert figures["relative_mm"] == pytest.approx(0.0, abs=0.01)
    assert figures["velocity_m_s"] == pytest.approx(0.3, abs=1e-3)
    assert figures["acceleration_m_s2"] == pytest.approx(0.0, abs=2e-2)
    assert figures["bodies"]["pelvis"]["global_mm"] == pytest.approx(63.0, abs=0.01)


def test_acceleration_is_the_second_difference(truth: MotionLibrary) -> None:
    """k² millimetres off after k steps is 2 mm a step and step, 5 m/s² at 50 steps a second."""

    def faster(state: RobotState, step: int, clip: Tensor) -> RobotState:
        return state._replace(body_pos_w=state.body_pos_w + torch.tensor([0.001 * step**2, 0.0, 0.0]))

    assert look(truth, faster).figures()["acceleration_m_s2"] == pytest.approx(5.0, abs=2e-2)


def test_relative_error_knows_neither_place_nor_heading(truth: MotionLibrary) -> None:
    """The robot has turned a quarter about the vertical through the world's origin, and its left foot is 20 mm off."""
    quarter, foot = torch.tensor([math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]), ROBOT.tracked.index(ROBOT.feet[0])

    def turned(state: RobotState, step: int, clip: Tensor) -> RobotState:
        place, quat = rotate(quarter, state.body_pos_w), multiply(quarter, state.body_quat_w)
        place[:, foot, 2] += 0.02
        return state._replace(body_pos_w=place, body_quat_w=quat)

    figures = look(truth, turned).figures()
    assert figures["success"] == 1.0
    assert figures["bodies"][ROBOT.feet[0]]["relative_mm"] == pytest.approx(20.0, abs=0.02)
    assert figures["bodies"]["pelvis"]["relative_mm"] == pytest.approx(0.0, abs=0.02)
    assert figures["relative_mm"] == pytest.approx(20.0 / len(ROBOT.tracked), abs=0.02)
    assert figures["global_mm"] > 100


def test_joint_error_is_the_mean_over_joints(truth: MotionLibrary) -> None:
    def bent(state: RobotState, step: int, clip: Tensor) -> RobotState:
        joints = state.joint_pos.clone()
        joints[:, 0] -= math.radians(2.9)
        return state._replace(joint_pos=joints)

    assert look(truth, bent).figures()["joint_deg"] == pytest.approx(2.9 / 29, abs=1e-4)


# Failing


def test_a_robot_that_sinks_fails_at_the_step_past_the_threshold(truth: MotionLibrary) -> None:
    """A decimetre a step: 0.25 m are passed at the third, whose error still counts."""
    evaluation = look(truth, moved(z=-0.1))
    assert evaluation.steps.tolist() == [3] * 6
    assert {evaluation.reasons[by] for by in evaluation.failed_by.tolist()} == {"anchor_pos"}
    figures = evaluation.figures()
    assert figures["success"] == 0.0
    assert figures["failed_by"] == {"anchor_pos": 6, "anchor_ori": 0, "ee_body_pos": 0, "diverged": 0}
    assert figures["survived_s"] == pytest.approx(3 / FPS)
    assert figures["global_mm"] == pytest.approx(200.0, abs=0.01)


def test_clips_are_told_apart(truth: MotionLibrary) -> None:
    def second_sinks(state: RobotState, step: int, clip: Tensor) -> RobotState:
        drop = torch.where(clip == 1, -0.1 * step, 0.0)[:, None, None] * torch.tensor([0.0, 0.0, 1.0])
        return state._replace(body_pos_w=state.body_pos_w + drop)

    evaluation = look(truth, second_sinks, num_envs=5)
    assert [evaluation.figures(clip)["success"] for clip in (0, 1)] == [1.0, 0.0]
    assert evaluation.figures()["success"] == 0.5


def test_a_state_that_is_no_number_is_a_failure_and_no_error(truth: MotionLibrary) -> None:
    def breaks(state: RobotState, step: int, clip: Tensor) -> RobotState:
        joints = state.joint_pos.clone()
        if step == 4:
            joints[:, 3] = math.nan
        return moved(x=0.006)(state._replace(joint_pos=joints), step, clip)

    evaluation = look(truth, breaks)
    figures = evaluation.figures()
    assert figures["failed_by"]["diverged"] == 6
    assert evaluation.steps.tolist() == [4] * 6
    assert figures["global_mm"] == pytest.approx(6 * (1 + 2 + 3) / 3, abs=0.01)


def test_what_fails_a_robot(truth: MotionLibrary) -> None:
    frames = truth.at(torch.tensor([0]), torch.tensor([0]))
    there = RobotState(frames.joint_pos, frames.body_pos_w, frames.body_quat_w)
    anchor, ends = (
        ROBOT.tracked.index(ROBOT.anchor),
        [ROBOT.tracked.index(name) for name in (*ROBOT.feet, *ROBOT.hands)],
    )

    def failed(robot: RobotState) -> list[str]:
        return [name for name, yes in failures(there, robot, anchor, ends).items() if yes]

    assert failed(there) == []
    lower = there.body_pos_w.clone()
    lower[:, ends[0], 2] -= 0.26
    assert failed(there._replace(body_pos_w=lower)) == ["ee_body_pos"]
    knee = there.body_pos_w.clone()
    knee[:, ROBOT.tracked.index("left_knee_link"), 2] -= 0.5
    assert failed(there._replace(body_pos_w=knee)) == []
    upright = torch.zeros_like(there.body_quat_w)
    upright[..., 0] = 1.0
    lying = upright.clone()
    lying[:, anchor] = roma.quat_xyzw_to_wxyz(roma.rotvec_to_unitquat(torch.tensor([0.0, math.pi / 2, 0.0])))
    there = there._replace(body_quat_w=upright)
    assert failed(there._replace(body_quat_w=lying)) == ["anchor_ori"]


# How it is gone about


def test_the_number_of_robots_does_not_matter(truth: MotionLibrary) -> None:
    few, many = (look(truth, moved(x=0.003, z=-0.02), num_envs=count) for count in (2, 64))
    assert few.figures() == many.figures()
    assert torch.equal(few.steps, many.steps)


def test_what_is_followed_is_where_it_begins_and_the_truth_is_what_counts(truth: MotionLibrary) -> None:
    """Followed: the same clips in another order, the first shorter; the robot is where these are."""
    first, second = (robot_clip(n, seed, fps=FPS) for seed, n in enumerate(LENGTHS))
    lifted = replace(first, root_pos_w=first.root_pos_w + (0.0, 0.0, 0.05))[:30]
    followed = MotionLibrary.of([replace(second, name="clip 1"), replace(lifted, name="clip 0")], FPS)
    ghost = Ghost(followed, exact, 6)
    config = EvaluationConfig(starts=3, seconds=0.4)
    evaluation = evaluate(ghost, lambda seen: 2 * seen, truth, config, followed=followed)
    assert [clip for clip, _ in ghost.begun] == [1, 1, 1, 0, 0, 0]
    assert max(frame for clip, frame in ghost.begun if clip == 1) <= 30 - 2 - 20
    assert evaluation.figures(0)["global_mm"] == pytest.approx(50.0, abs=0.1)
    assert evaluation.figures(1)["global_mm"] == pytest.approx(0.0, abs=0.1)


def test_other_clips_than_the_truth_are_refused(truth: MotionLibrary) -> None:
    other = replace(truth, names=("clip 0", "clip 2"))
    with pytest.raises(UserError, match="'clip 1' of the truth is not among"):
        evaluate(Ghost(other, exact), lambda seen: seen, truth, followed=other)
    slower = replace(truth, fps=30.0)
    with pytest.raises(UserError, match="the truth has 50 fps, what is followed 30"):
        evaluate(Ghost(slower, exact), lambda seen: seen, truth, followed=slower)


# What is written


def test_a_report_holds_figures_and_how_they_came(truth: MotionLibrary, tmp_path: Path) -> None:
    evaluation = look(truth, moved(z=-0.009), starts=2, seconds=0.5, seed=7)
    figures = report(evaluation, policy="zero")
    paths = save_report(figures, tmp_path / "out")
    assert [path.name for path in paths] == ["evaluation.json", "evaluation.md", "evaluation.png"]
    assert json.loads(paths[0].read_text()) == figures
    assert (figures["starts_per_clip"], figures["horizon_s"], figures["seed"]) == (2, 0.5, 7)
    assert figures["failure"] == {"anchor_pos": 0.25, "anchor_ori": 0.8, "ee_body_pos": 0.25}
    assert described(figures) == "policy zero; 2 starts a clip, 0.5 s, seed 7"
    rows = table(figures).splitlines()
    assert len(rows) == 2 + len(LENGTHS) + 1
    assert rows[-1].startswith("| **all starts** | 4 | 0.50 | 100.0 |")
    assert compared({"a": figures, "b": figures}).count("\n") == 4


def test_short_clips_are_named(truth: MotionLibrary) -> None:
    figures = report(look(truth, exact, seconds=1.0))
    assert figures["shorter_clips"] == ["clip 0"]
    assert figures["clips"][0]["starts"] == 1
    assert "1 shorter clips followed once" in described(figures)


def test_figures_that_nobody_has_are_null_and_drawn_all_the_same() -> None:
    """All starts diverged at their first step: there is no error at all."""
    nothing = torch.full((1,), math.nan, dtype=torch.float64)
    evaluation = Evaluation(
        clips=("clip",),
        fps=FPS,
        config=EvaluationConfig(),
        body_names=("pelvis",),
        reasons=("diverged",),
        starts=Starts(torch.tensor([0]), torch.tensor([0]), torch.tensor([5])),
        steps=torch.tensor([1]),
        failed_by=torch.tensor([0]),
        global_mm=nothing[:, None],
        relative_mm=nothing[:, None],
        errors={"joint_deg": nothing, "velocity_m_s": nothing, "acceleration_m_s2": nothing},
    )
    figures = report(evaluation)
    assert json.loads(json.dumps(figures, allow_nan=False))["all"]["global_mm"] is None
    assert "| – |" in table(figures)
    draw(figures)
