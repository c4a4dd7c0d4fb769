"""Forward kinematics must be MuJoCo's, for every batch shape and dtype, and differentiable."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion.formats.unitree_csv import read_unitree_csv
from g1_vq_retarget.robot import Joint, Link, Motor, build_mjcf, forward_kinematics, load_robot

ROBOT = load_robot()


@pytest.fixture(scope="module", params=["published", "generated"])
def model(request: pytest.FixtureRequest):
    """The G1 that mjlab ships, and the one that we generate."""
    mujoco = pytest.importorskip("mujoco")
    if request.param == "published":
        return request.getfixturevalue("published_g1")
    return mujoco.MjModel.from_xml_string(build_mjcf(ROBOT))


def assert_like_mujoco(model, joint_pos: np.ndarray, root_pos: np.ndarray, root_quat_wxyz: np.ndarray) -> None:
    mujoco = pytest.importorskip("mujoco")
    poses = forward_kinematics(ROBOT, *(torch.from_numpy(a) for a in (joint_pos, root_pos, root_quat_wxyz)))
    data = mujoco.MjData(model)
    joints = [model.joint(name).qposadr.item() for name in ROBOT.joint_names]
    bodies = [model.body(name).id for name in ROBOT.link_names]
    pos, rot = [], []
    for frame in range(len(joint_pos)):
        data.qpos[:7] = [*root_pos[frame], *root_quat_wxyz[frame]]
        data.qpos[joints] = joint_pos[frame]
        mujoco.mj_kinematics(model, data)
        pos.append(data.xpos[bodies])
        rot.append(data.xmat[bodies].reshape(-1, 3, 3))
    np.testing.assert_allclose(poses.pos.numpy(), pos, atol=1e-4)
    off = Rotation.from_matrix(poses.rot.numpy().reshape(-1, 3, 3)).inv() * Rotation.from_matrix(np.concatenate(rot))
    assert off.magnitude().max() < 1e-4
    same = Rotation.from_quat(poses.quat_wxyz.numpy().reshape(-1, 4), scalar_first=True)
    assert (same.inv() * Rotation.from_matrix(np.concatenate(rot))).magnitude().max() < 1e-4


def test_random_poses_are_mujocos(model) -> None:
    rng = np.random.default_rng(0)
    joint_pos = rng.uniform(*ROBOT.limits.T, size=(1000, 29))
    root_quat = Rotation.random(1000, rng).as_quat(scalar_first=True)
    assert_like_mujoco(model, joint_pos, rng.normal(size=(1000, 3)), root_quat)


@pytest.mark.parametrize("name", ["dance1_subject1", "fallAndGetUp1_subject1"])
def test_poses_of_real_clips_are_mujocos(model, lafan1: Path, name: str) -> None:
    clip = read_unitree_csv(lafan1 / "g1" / f"{name}.csv", robot=ROBOT)[::25]
    assert_like_mujoco(model, clip.joint_pos, clip.root_pos_w, clip.root_quat_w)


def test_one_joint_worked_by_hand() -> None:
    def link(name: str, parent: str | None, pos: tuple, axis: tuple | None) -> Link:
        joint = None if axis is None else Joint(f"{name}_joint", axis, -3, 3, 0, Motor(1, 1, 1))
        return Link(name, parent, pos, (1, 0, 0, 0), joint, 1, (0, 0, 0), (1, 0, 0, 0), (1, 1, 1), ())

    links = (
        link("base", None, (0, 0, 0), None),
        link("shoulder", "base", (0, 0, 1), (0, 1, 0)),
        link("elbow", "shoulder", (1, 0, 0), (0, 0, 1)),
    )
    arm = replace(ROBOT, links=links)
    # a quarter turn about y takes x to -z: the elbow comes down from (1, 0, 1) to the base
    poses = forward_kinematics(arm, torch.tensor([math.pi / 2, 0.0]))
    torch.testing.assert_close(poses.pos, torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, 0]]))
    torch.testing.assert_close(poses.rot[2] @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 0, -1]))
    half = math.sqrt(0.5)
    torch.testing.assert_close(poses.quat_wxyz[2], torch.tensor([half, 0, half, 0]))
    # the root a metre to the left, heading left: what points forward now points left
    straight = forward_kinematics(arm, torch.zeros(2), torch.tensor([0.0, 1, 0]), torch.tensor([half, 0, 0, half]))
    torch.testing.assert_close(straight.pos[2], torch.tensor([0.0, 2, 1]))


def test_moving_the_root_moves_every_link_with_it() -> None:
    rng = np.random.default_rng(1)
    joint_pos = torch.from_numpy(rng.uniform(*ROBOT.limits.T, size=(5, 29)))
    turn, shift = Rotation.random(5, rng), rng.normal(size=(5, 3))
    here = forward_kinematics(ROBOT, joint_pos)
    there = forward_kinematics(
        ROBOT, joint_pos, torch.from_numpy(shift), torch.from_numpy(turn.as_quat(scalar_first=True))
    )
    moved = np.einsum("bij,blj->bli", turn.as_matrix(), here.pos.numpy()) + shift[:, None]
    np.testing.assert_allclose(there.pos.numpy(), moved, atol=1e-12)
    np.testing.assert_allclose(there.rot.numpy(), turn.as_matrix()[:, None] @ here.rot.numpy(), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_every_pose_of_a_batch_is_as_alone(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    joint_pos = torch.randn(*batch, 29, generator=generator, dtype=dtype) * 0.3
    root_pos = torch.randn(*batch, 3, generator=generator, dtype=dtype)
    root_quat = torch.nn.functional.normalize(torch.randn(*batch, 4, generator=generator, dtype=dtype), dim=-1)
    for arguments in ((joint_pos,), (joint_pos, root_pos, root_quat)):
        poses = forward_kinematics(ROBOT, *arguments)
        assert poses.pos.shape == (*batch, 30, 3)
        assert poses.rot.shape == (*batch, 30, 3, 3)
        assert poses.quat_wxyz.shape == (*batch, 30, 4)
        assert poses.pos.dtype == poses.rot.dtype == poses.quat_wxyz.dtype == dtype
        for index in np.ndindex(batch):
            alone = forward_kinematics(ROBOT, *(argument[index] for argument in arguments))
            torch.testing.assert_close(poses.pos[index], alone.pos)
            torch.testing.assert_close(poses.rot[index], alone.rot)


def test_gradients_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, size, generator=generator, dtype=torch.float64) for size in (29, 3, 4)]
    for value in inputs:
        value.requires_grad_()
    assert torch.autograd.gradcheck(lambda *arguments: tuple(forward_kinematics(ROBOT, *arguments)), inputs)


def test_gradients_are_finite_in_the_zero_pose() -> None:
    joint_pos = torch.zeros(29, requires_grad=True)
    forward_kinematics(ROBOT, joint_pos).pos.sum().backward()
    assert joint_pos.grad is not None
    assert joint_pos.grad.isfinite().all()
    assert joint_pos.grad.abs().max() > 0.1


def test_a_pose_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="28 columns"):
        forward_kinematics(ROBOT, torch.zeros(28))
