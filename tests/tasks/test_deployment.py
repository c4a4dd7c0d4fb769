from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from deployments import deployment, perceptron
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.tasks.deployment import (
    DEPLOY,
    POLICY,
    Deployment,
    Observed,
    OnnxPolicy,
    attach_metadata,
    export_onnx,
    motion_sha256,
    verify,
)
from g1_vq_retarget.tasks.motion_library import MotionLibrary
from running import run_script
from synthetic import robot_clip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore:You are using the legacy")
pytest.importorskip("onnx", reason="needs pip install -e '.[deployment]'")
pytest.importorskip("onnxruntime", reason="needs pip install -e '.[deployment]'")


@pytest.fixture(scope="module")
def told() -> Deployment:
    return deployment()


@pytest.fixture(scope="module")
def folder(told: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy as it is exported, but for the robot."""
    path = tmp_path_factory.mktemp("policy")
    export_onnx(perceptron(told), told, path / POLICY)
    told.save(path / DEPLOY)
    return path


def test_what_is_written_is_read(told: Deployment, folder: Path) -> None:
    assert Deployment.load(folder / DEPLOY) == told
    assert (folder / DEPLOY).read_text().startswith("# How to run")


def test_onnx_does_what_the_network_does(told: Deployment, folder: Path) -> None:
    policy, seen = OnnxPolicy(folder / POLICY), torch.randn(4, told.observation_size)
    torch.testing.assert_close(policy(seen), perceptron(told)(seen), atol=1e-5, rtol=1e-5)


def test_onnx_says_the_same_as_the_deployment_and_by_the_names_that_mjlab_has(told: Deployment, folder: Path) -> None:
    metadata = OnnxPolicy(folder / POLICY).metadata
    assert metadata == told.metadata()
    assert metadata["joint_names"].split(",") == list(told.joint_names)
    assert float(metadata["joint_stiffness"].split(",")[3]) == pytest.approx(told.joints[3].stiffness, rel=1e-8)
    assert metadata["observation_names"].split(",")[0] == "command"


def test_numbers_keep_their_digits(told: Deployment, tmp_path: Path) -> None:
    """Such as 2.557889775413375, of which mjlab's own metadata has three."""
    joint = replace(told.joints[0], damping=2.557889775413375, action_scale=1 / 3)
    precise = replace(told, joints=[joint, *told.joints[1:]])
    precise.save(tmp_path / "deploy.yaml")
    assert Deployment.load(tmp_path / "deploy.yaml") == precise
    assert precise.metadata()["joint_damping"].startswith("2.55788978,")


def scaled(told: Deployment) -> Deployment:
    return replace(told, observations=[replace(told.observations[0], scale=0.5), *told.observations[1:]])


def renamed(told: Deployment) -> Deployment:
    return replace(told, observations=[replace(told.observations[0], name="motion"), *told.observations[1:]])


def longer(told: Deployment) -> Deployment:
    return replace(told, observations=[*told.observations, Observed("projected_gravity", 3)])


def swapped(told: Deployment) -> Deployment:
    return replace(told, joints=[told.joints[1], told.joints[0], *told.joints[2:]])


def faster(told: Deployment) -> Deployment:
    return replace(told, fps=100.0, decimation=told.decimation // 2)


def retrained(told: Deployment) -> Deployment:
    return replace(told, motion=replace(told.motion, tokenizer_sha256="1" * 64))


def softer(told: Deployment) -> Deployment:
    return replace(told, joints=[replace(joint, stiffness=joint.stiffness / 2) for joint in told.joints])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (scaled, r"observation_terms_scale is 1 at place 0, in \S+ 0.5"),
        (renamed, r"observation_names is command at place 0, in \S+ motion"),
        (longer, r"observation_names is nothing at place 8, in \S+ projected_gravity \(8 values, there 9\)"),
        (swapped, "joint_names is left_hip_pitch_joint at place 0"),
        (faster, r"fps is '50', in \S+ '100'"),
        (softer, "joint_stiffness is 40.1 at place 0"),
        (retrained, r"tokenizer_sha256 is '', in \S+ '111"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(
    change: Callable[[Deployment], Deployment],
    message: str,
    told: Deployment,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = change(told)
    with pytest.raises(UserError, match=message):
        verify(OnnxPolicy(folder / POLICY), other, "deploy.yaml")
    other.save(tmp_path / "other.yaml")
    words = ("--policy", folder / POLICY, "--deploy", tmp_path / "other.yaml")
    outcome = run_script("deployment/verify_policy", words, capsys)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"error: {folder / POLICY}: ")


def test_a_network_of_another_size_is_refused_whatever_it_says(told: Deployment, folder: Path, tmp_path: Path) -> None:
    other, path = longer(told), tmp_path / "policy.onnx"
    export_onnx(perceptron(other), other, path)
    attach_metadata(path, told)
    with pytest.raises(UserError, match=r"the network has \d+ observations, deploy.yaml has \d+"):
        verify(OnnxPolicy(path), told, "deploy.yaml")


def test_a_policy_that_fits_is_told(told: Deployment, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_script("deployment/verify_policy", ("--policy", folder), capsys)
    assert outcome.code == 0, outcome.err
    assert f"{told.observation_size} observations (command, motion_anchor_pos_b" in outcome.out


def test_a_network_that_does_not_fit_is_not_exported(told: Deployment, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the network has 28 actions"):
        export_onnx(torch.nn.Linear(told.observation_size, 28), told, tmp_path / POLICY)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_policy_is_refused(told: Deployment, tmp_path: Path) -> None:
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(UserError, match="cannot be read as ONNX"):
        OnnxPolicy(path)
    torch.onnx.export(
        torch.nn.Linear(3, 2), (torch.zeros(1, 3),), str(path), input_names=["x"], output_names=["y"], dynamo=False
    )
    with pytest.raises(UserError, match="maps x to y, expected obs to actions"):
        OnnxPolicy(path)
    torch.onnx.export(
        perceptron(told),
        (torch.zeros(1, told.observation_size),),
        str(path),
        input_names=["obs"],
        output_names=["actions"],
        dynamo=False,
    )
    with pytest.raises(UserError, match="says nothing of its schema"):
        verify(OnnxPolicy(path), told, "deploy.yaml")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("policy 1", "policy 0", "schema is 'g1_vq_retarget policy 0'"),
        ("decimation: 4", "decimation: 5", "fps is 50, but 5 steps of 0.005 s an action are 40"),
        ("decimation: 4", "decimation: 0", "fps is 50, but 0 steps of 0.005 s an action are 0"),
        ("timestep: 0.005", "timestep: 0.0", "fps is 50, but"),
        ("name: command,", "name: token_embedding,", "the policy sees tokens, and motion says no tokenizer_sha256"),
        ("anchor_body:", "anchor:", "unknown key anchor"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused(
    before: str, after: str, message: str, told: Deployment, tmp_path: Path
) -> None:
    path = tmp_path / "deploy.yaml"
    told.save(path)
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(UserError, match=message):
        Deployment.load(path)


def test_the_hash_is_of_the_motion_and_not_of_its_name() -> None:
    clip = robot_clip(30, 0, fps=50.0)

    def of(clip, fps: float = 50.0) -> str:
        return motion_sha256(MotionLibrary.of([clip], fps))

    assert of(clip) == of(replace(clip, name="other"))
    assert of(clip) != of(replace(clip, joint_pos=clip.joint_pos + 1e-3))
    assert of(clip) != of(replace(clip, root_pos_w=clip.root_pos_w + 1e-3))
    assert of(clip) != of(clip, 25.0)
