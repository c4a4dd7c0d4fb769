from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco as mujoco_module
import pytest
import torch

from deployments import deployment, perceptron
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.robot import build_mjcf, load_robot
from g1_vq_retarget.tasks.deployment import DEPLOY, POLICY, ROBOT, Observed, export_onnx
from g1_vq_retarget.tasks.evaluation import EvaluationConfig, evaluate
from g1_vq_retarget.tasks.evaluation_report import agreement, load_report, report
from g1_vq_retarget.tasks.mdp import observations
from g1_vq_retarget.tasks.motion_library import MotionLibrary
from g1_vq_retarget.tasks.mujoco.simulation import MujocoSimulation
from running import run_script
from synthetic import robot_clip

# of a compiled module, whose names a type checker does not see
mujoco: Any = mujoco_module
G1 = load_robot()
FPS = 50.0
AHEAD = (0, 3)


def robot_mjcf(path: Path, change: Callable[[ET.Element], None] | None = None) -> Path:
    """The package's own model of the G1, with an IMU in its pelvis and names as mjlab gives them."""
    root = ET.fromstring(build_mjcf(G1))
    for element in root.iter():
        for key in ("name", "joint", "site"):
            if key in element.attrib and element.tag != "key":
                element.attrib[key] = f"robot/{element.attrib[key]}"
    (pelvis,) = (body for body in root.iter("body") if body.get("name") == "robot/pelvis")
    ET.SubElement(pelvis, "site", name="robot/imu")
    sensors = ET.SubElement(root, "sensor")
    ET.SubElement(sensors, "gyro", name="robot/imu_ang_vel", site="robot/imu")
    ET.SubElement(sensors, "velocimeter", name="robot/imu_lin_vel", site="robot/imu")
    if change is not None:
        change(root)
    path.parent.mkdir(exist_ok=True)
    path.write_text(ET.tostring(root, encoding="unicode"))
    return path


@pytest.fixture(scope="module")
def library() -> MotionLibrary:
    return MotionLibrary.of([replace(robot_clip(n, n, fps=FPS), name=f"{n}") for n in (40, 50)], FPS)


@pytest.fixture(scope="module")
def simulation(library: MotionLibrary, tmp_path_factory: pytest.TempPathFactory) -> MujocoSimulation:
    path = robot_mjcf(tmp_path_factory.mktemp("mujoco") / "scene.xml")
    return MujocoSimulation(path, deployment(AHEAD), library)


def begun(simulation: MujocoSimulation, clip: int = 1, frame: int = 7) -> dict[str, torch.Tensor]:
    """What the policy sees of each name after a begin."""
    seen, _ = simulation.begin(torch.tensor([clip]), torch.tensor([frame]))
    return parts(simulation, seen)


def parts(simulation: MujocoSimulation, seen: torch.Tensor) -> dict[str, torch.Tensor]:
    sizes = [observed.size for observed in simulation.deployment.observations]
    names = [observed.name for observed in simulation.deployment.observations]
    return dict(zip(names, seen.split(sizes, dim=1), strict=True))


def test_it_begins_where_the_motion_is(simulation: MujocoSimulation, library: MotionLibrary) -> None:
    _, state = simulation.begin(torch.tensor([1]), torch.tensor([7]))
    at = library.at(torch.tensor([1]), torch.tensor([7]))
    torch.testing.assert_close(state.joint_pos, at.joint_pos)
    torch.testing.assert_close(state.body_pos_w, at.body_pos_w, atol=1e-5, rtol=0)
    assert ((state.body_quat_w * at.body_quat_w).sum(-1).abs() > 1 - 1e-6).all()


def test_the_policy_sees_robot_and_motion_as_the_task_shows_them(
    simulation: MujocoSimulation, library: MotionLibrary
) -> None:
    """At frame 7 the next to be reached is 8, and the other frame asked for is 11."""
    seen, clip = begun(simulation), torch.tensor([1])
    now, ahead = library.at(clip, torch.tensor([7])), library.at(torch.tensor([[1]]), torch.tensor([[8, 11]]))
    anchor = library.body_names.index(G1.anchor)
    place, turn = now.body_pos_w[:, anchor], now.body_quat_w[:, anchor]
    root = now.body_quat_w[:, 0]
    default = torch.tensor([joint.default_pos for joint in simulation.deployment.joints])
    want = {
        "command": torch.cat(
            [ahead.joint_pos[:, 0], ahead.joint_vel[:, 0], ahead.joint_pos[:, 1], ahead.joint_vel[:, 1]], dim=1
        ),
        "motion_anchor_pos_b": observations.motion_anchor_pos_b(place, turn, ahead.body_pos_w[:, :, anchor]),
        "motion_anchor_ori_b": observations.motion_anchor_ori_b(turn, ahead.body_quat_w[:, :, anchor]),
        "base_lin_vel": observations.base_lin_vel(root, now.body_lin_vel_w[:, 0]),
        "base_ang_vel": observations.base_ang_vel(root, now.body_ang_vel_w[:, 0]),
        "joint_pos": now.joint_pos - default,
        "joint_vel": now.joint_vel,
        "actions": torch.zeros(1, 29),
    }
    assert list(seen) == list(want)
    for name, values in want.items():
        torch.testing.assert_close(seen[name], values, atol=2e-5, rtol=0, msg=lambda said, name=name: f"{name}: {said}")


def test_a_step_moves_the_motion_on_and_shows_the_action(simulation: MujocoSimulation, library: MotionLibrary) -> None:
    begun(simulation)
    action = torch.linspace(-1, 1, 29)[None]
    seen = parts(simulation, simulation.step(action)[0])
    assert torch.equal(seen["actions"], action)
    next_one = library.at(torch.tensor([1]), torch.tensor([9]))
    torch.testing.assert_close(seen["command"][:, :29], next_one.joint_pos)
    assert (begun(simulation)["actions"] == 0).all()


def test_velocities_that_no_sensor_measures_are_those_of_the_roots_origin(
    simulation: MujocoSimulation, library: MotionLibrary, tmp_path: Path
) -> None:
    """Isaac Lab's task has them so; the IMU of this model sits there."""
    told = deployment(AHEAD)
    told = replace(told, observations=[replace(each, sensor="") for each in told.observations])
    without = MujocoSimulation(robot_mjcf(tmp_path / "scene.xml"), told, library)
    clip, frame, action = torch.tensor([1]), torch.tensor([7]), torch.full((1, 29), 0.3)
    for one in (simulation, without):
        one.begin(clip, frame)
    (measured, _), (computed, _) = (one.step(action) for one in (simulation, without))
    assert parts(simulation, measured)["base_lin_vel"].norm() > 0.1
    torch.testing.assert_close(computed, measured, atol=2e-5, rtol=1e-5)


def test_scales_are_applied(library: MotionLibrary, simulation: MujocoSimulation, tmp_path: Path) -> None:
    told = deployment(AHEAD)
    scaled = [replace(each, scale=0.25 if each.name == "joint_vel" else 1.0) for each in told.observations]
    other = MujocoSimulation(robot_mjcf(tmp_path / "scene.xml"), replace(told, observations=scaled), library)
    torch.testing.assert_close(begun(other)["joint_vel"], 0.25 * begun(simulation)["joint_vel"])


def test_joints_are_driven_by_the_gains_of_the_deployment(simulation: MujocoSimulation) -> None:
    """The model has motors; the torque is kp (target - q) - kd q' in the first substep, within the limit."""
    begun(simulation)
    joints = simulation.deployment.joints
    pos = torch.tensor([simulation.data.joint(f"robot/{joint.name}").qpos[0] for joint in joints])
    vel = torch.tensor([simulation.data.joint(f"robot/{joint.name}").qvel[0] for joint in joints])
    action = torch.linspace(-0.5, 0.5, 29)
    want = []
    for joint, q, v, a in zip(joints, pos, vel, action, strict=True):
        torque = joint.stiffness * (joint.default_pos + joint.action_scale * a - q) - joint.damping * v
        want.append(float(torque.clamp(-joint.effort_limit, joint.effort_limit)))
    simulation.data.ctrl[simulation._actuators] = [
        joint.default_pos + joint.action_scale * float(a) for joint, a in zip(joints, action, strict=True)
    ]
    mujoco.mj_forward(simulation.model, simulation.data)
    got = simulation.data.actuator_force[simulation._actuators]
    assert got.tolist() == pytest.approx(want, abs=1e-3)
    assert any(abs(torque) == joint.effort_limit for torque, joint in zip(want, joints, strict=True))


def test_a_step_takes_its_time(simulation: MujocoSimulation) -> None:
    begun(simulation)
    simulation.step(torch.zeros(1, 29))
    assert simulation.data.time == pytest.approx(0.02)


def without(tag: str, name: str) -> Callable[[ET.Element], None]:
    def change(root: ET.Element) -> None:
        for parent in root.iter():
            for child in list(parent):
                if child.tag == tag and child.get("name") == name:
                    parent.remove(child)

    return change


def doubled(root: ET.Element) -> None:
    (actuators,) = root.iter("actuator")
    ET.SubElement(actuators, "motor", name="again", joint="robot/waist_yaw_joint")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("gyro", "robot/imu_ang_vel"), "needs the sensor 'imu_ang_vel', the model has none"),
        (without("motor", "robot/waist_yaw_joint"), "waist_yaw_joint has 0 actuators"),
        (doubled, "waist_yaw_joint has 2 actuators"),
        (without("freejoint", "robot/root"), "pelvis must move freely"),
    ],
)
def test_a_model_that_lacks_something_is_refused(
    change: Callable[[ET.Element], None], message: str, library: MotionLibrary, tmp_path: Path
) -> None:
    def changed(root: ET.Element) -> None:
        change(root)
        for keyframes in list(root.iter("keyframe")):
            root.remove(keyframes)

    with pytest.raises(UserError, match=message):
        MujocoSimulation(robot_mjcf(tmp_path / "scene.xml", changed), deployment(), library)


def test_what_does_not_fit_is_refused(library: MotionLibrary, tmp_path: Path) -> None:
    path, told = robot_mjcf(tmp_path / "scene.xml"), deployment()
    with pytest.raises(UserError, match="the motion has 25 fps, the policy 50"):
        MujocoSimulation(path, told, replace(library, fps=25.0))
    with pytest.raises(UserError, match="nothing here shows a policy 'terrain'"):
        MujocoSimulation(path, replace(told, observations=[*told.observations, Observed("terrain", 3)]), library)
    command = replace(told.observations[0], size=57)
    with pytest.raises(UserError, match="the policy sees 57 of command, in MuJoCo there are 58"):
        MujocoSimulation(path, replace(told, observations=[command, *told.observations[1:]]), library)
    path.write_text("<mujoco>")
    with pytest.raises(UserError, match="cannot be read as a MuJoCo model"):
        MujocoSimulation(path, told, library)


def test_a_policy_that_sees_tokens_is_shown_those_of_its_own_tokenizer(library: MotionLibrary, tmp_path: Path) -> None:
    """The latents of the frames ahead, and the anchor in the next alone."""
    path, told = robot_mjcf(tmp_path / "scene.xml"), deployment(AHEAD)
    tokens, pos, ori = Observed("token_embedding", 2 * 8), Observed("motion_anchor_pos_b", 3), told.observations[2]
    told = replace(
        told,
        observations=[tokens, pos, replace(ori, size=6), *told.observations[3:]],
        motion=replace(told.motion, tokenizer_sha256="a" * 64),
    )
    latents = torch.arange(8.0 * len(library.frames.joint_pos)).view(-1, 8)
    with_tokens = replace(library, embedding=latents, tokenizer_sha256="a" * 64)
    seen = begun(MujocoSimulation(path, told, with_tokens))["token_embedding"]
    first = int(library.first[1])
    assert torch.equal(seen[0], latents[[first + 8, first + 11]].flatten())
    for other in (replace(with_tokens, tokenizer_sha256="b" * 64), library):
        with pytest.raises(
            UserError, match=r"sees tokens of the weights aaaaaaaaaaaa, the motion's are of (b{12}|none):"
        ):
            MujocoSimulation(path, told, other)


def test_a_robot_that_is_held_still_is_told_where_it_is(simulation: MujocoSimulation, library: MotionLibrary) -> None:
    """Nobody who holds the default pose follows wild motion; the same again is exactly the same."""
    config = EvaluationConfig(starts=2, seconds=0.3)
    once, again = (report(evaluate(simulation, lambda seen: torch.zeros(1, 29), library, config)) for _ in range(2))
    assert once == again
    assert once["all"]["starts"] == 4
    assert 0 < once["all"]["relative_mm"] < 2000
    assert all(agreement(once, again).values())


def test_sim2sim_from_files(library: MotionLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime", reason="needs pip install -e '.[deployment]'")
    pytest.importorskip("onnx", reason="needs pip install -e '.[deployment]'")
    folder, told = tmp_path / "policy", deployment()
    (folder / ROBOT).parent.mkdir(parents=True)
    robot_mjcf(folder / ROBOT)
    export_onnx(perceptron(told), told, folder / POLICY)
    told.save(folder / DEPLOY)
    save_motion(robot_clip(40, 40, fps=FPS), tmp_path / "motion.npz")
    words = ["--policy", folder, "--motion", tmp_path / "motion.npz", "--starts", 2, "--seconds", 0.2]
    outcome = run_script("deployment/sim2sim", (*words, "--out", tmp_path / "first"), capsys)
    assert outcome.code == 0, outcome.err
    assert "note: the policy was trained on other motion" in outcome.out
    assert (tmp_path / "first" / "evaluation.png").is_file()
    again = run_script("deployment/sim2sim", (*words, "--compare", tmp_path / "first"), capsys)
    assert again.code == 0, again.err
    assert again.out.count("alike") == 4
    # to others' figures it may not be alike
    path = tmp_path / "first" / "evaluation.json"
    before = load_report(path)["all"]["relative_mm"]
    path.write_text(path.read_text().replace(f'"relative_mm": {before}', f'"relative_mm": {before / 1.2}'))
    other = run_script("deployment/sim2sim", (*words, "--compare", tmp_path / "first"), capsys)
    assert other.code == 1
    assert "relative_mm" in other.out
    assert other.out.count("NOT alike") == 1
    against = ("--against", tmp_path / "motion.npz", "--compare", tmp_path / "first")
    measured_else = run_script("deployment/sim2sim", (*words, *against), capsys)
    assert (measured_else.code, measured_else.err.count("\n")) == (2, 1)
    assert "the other by --against" in measured_else.err
    told_else = run_script("deployment/sim2sim", (*words, "--seed", 3, "--compare", tmp_path / "first"), capsys)
    assert (told_else.code, told_else.err.count("\n")) == (2, 1)
    assert "another seed" in told_else.err
    (folder / ROBOT).rename(tmp_path / "scene.xml")  # as of an export from Isaac Lab
    without_robot = run_script("deployment/sim2sim", (*words,), capsys)
    assert (without_robot.code, without_robot.err.count("\n")) == (2, 1)
    assert "--model is needed" in without_robot.err
    assert run_script("deployment/sim2sim", (*words, "--model", tmp_path / "scene.xml"), capsys).code == 0
