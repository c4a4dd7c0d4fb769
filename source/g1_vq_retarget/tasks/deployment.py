"""What a trained tracking policy needs to be run: `deploy.yaml` for people, and the same in the ONNX file itself.

Whoever runs a policy builds what it sees from names, and drives joints by names; so both say which there are, in what
order and size, with what scales and gains, how often. `verify` refuses a file of weights that says otherwise than its
`deploy.yaml`, or whose network does not fit it.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from g1_vq_retarget.configuration import read_preset, to_dict
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing
from g1_vq_retarget.tasks.motion_library import MotionLibrary

SCHEMA = "g1_vq_retarget policy 1"
# What the files of a folder are called.
POLICY, DEPLOY, ROBOT = "policy.onnx", "deploy.yaml", "robot/scene.xml"
# What the task calls the latents that a policy may see in place of joints.
TOKENS = "token_embedding"
_INPUT, _OUTPUT = "obs", "actions"
_HEAD = f"""\
# How to run the policy beside this file. Joints are in the order of observations and actions.
# A joint's target is default_pos + action_scale * action, rad, held by stiffness (Nm/rad), damping (Nm s/rad) within
# effort_limit (Nm); `decimation` steps of `timestep` seconds with each action.
# Observations stand one behind another, each times its scale; frames are counted from the one to be reached next.
# Check it with scripts/deployment/verify_policy.py; run it with scripts/deployment/sim2sim.py. {POLICY} says the same.
"""


@dataclass(frozen=True)
class JointControl:
    """How a joint is driven: rad, Nm/rad, Nm s/rad, Nm."""

    name: str
    default_pos: float
    action_scale: float
    stiffness: float
    damping: float
    effort_limit: float


@dataclass(frozen=True)
class Observed:
    """A part of what the policy sees; `sensor` names the robot's that measures it, where one does."""

    name: str
    size: int
    scale: float = 1.0
    sensor: str = ""


@dataclass(frozen=True)
class TrainedOn:
    """The motion that the policy has practised; `sha256` as of `motion_sha256`.

    `tokenizer_sha256` is of the weights whose tokens the policy sees, empty where it sees none: to a policy, other
    weights' latents are another language.
    """

    clips: int
    fps: float
    sha256: str
    licences: list[str] = field(default_factory=list)
    tokenizer_sha256: str = ""

    @classmethod
    def on(cls, library: MotionLibrary) -> TrainedOn:
        """What is to be told of a library."""
        return cls(
            clips=len(library),
            fps=library.fps,
            sha256=motion_sha256(library),
            licences=list(library.licences),
            tokenizer_sha256=library.tokenizer_sha256,
        )


@dataclass(frozen=True)
class Deployment:
    """All of `deploy.yaml`.

    Attributes:
        schema: of this file, `SCHEMA`.
        task: that it was trained in.
        fps: actions a second.
        timestep: of the simulation, s.
        decimation: steps of the simulation an action.
        anchor_body: the link that the policy's frame hangs on.
        body_names: links of the motion that are tracked, the root first.
        future_frames: frames of the motion that the policy sees.
        joints: J, in order.
        observations: in order.
        motion: that it was trained on.
    """

    schema: str
    task: str
    fps: float
    timestep: float
    decimation: int
    anchor_body: str
    body_names: list[str]
    future_frames: list[int]
    joints: list[JointControl]
    observations: list[Observed]
    motion: TrainedOn

    @property
    def joint_names(self) -> tuple[str, ...]:
        """J, in order."""
        return tuple(joint.name for joint in self.joints)

    @property
    def observation_size(self) -> int:
        """Of all that the policy sees."""
        return sum(observed.size for observed in self.observations)

    @property
    def sees_tokens(self) -> bool:
        """Whether the policy sees the latents that the motion was decoded from, and not its joints."""
        return any(observed.name == TOKENS for observed in self.observations)

    def of_joints(self, what: str) -> Tensor:
        """(J,) a field of the joints."""
        return torch.tensor([getattr(joint, what) for joint in self.joints], dtype=torch.float32)

    def metadata(self) -> dict[str, str]:
        """The same as text by key, for an ONNX file: what mjlab's exporter writes by its names, lists with commas."""
        observed, joints = self.observations, self.joints
        told: dict[str, Any] = {
            "schema": self.schema,
            "task": self.task,
            "fps": self.fps,
            "timestep": self.timestep,
            "decimation": self.decimation,
            "anchor_body_name": self.anchor_body,
            "body_names": self.body_names,
            "future_frames": self.future_frames,
            "joint_names": self.joint_names,
            "default_joint_pos": [joint.default_pos for joint in joints],
            "action_scale": [joint.action_scale for joint in joints],
            "joint_stiffness": [joint.stiffness for joint in joints],
            "joint_damping": [joint.damping for joint in joints],
            "joint_effort_limit": [joint.effort_limit for joint in joints],
            "command_names": ["motion"],
            "observation_names": [each.name for each in observed],
            "observation_terms_size": [each.size for each in observed],
            "observation_terms_scale": [each.scale for each in observed],
            "observation_terms_sensor": [each.sensor for each in observed],
            "motion_fps": self.motion.fps,
            "motion_sha256": self.motion.sha256,
            "tokenizer_sha256": self.motion.tokenizer_sha256,
        }
        return {key: _text(value) for key, value in told.items()}

    def save(self, path: Path) -> None:
        """Write `deploy.yaml`. Raises UserError if it cannot be written."""
        text = yaml.safe_dump(to_dict(self), sort_keys=False, default_flow_style=None, width=118)
        with replacing(path) as file:
            file.write_text(_HEAD + text, encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Read `deploy.yaml`.

        Raises:
            UserError: missing, something else, of another schema, its rates contradict one another, or it sees tokens
                and does not say whose.
        """
        deployment = read_preset(cls, path)
        if deployment.schema != SCHEMA:
            raise UserError(f"{path}: schema is '{deployment.schema}', expected '{SCHEMA}': export the policy again")
        step = deployment.timestep * deployment.decimation
        rate = 1 / step if step > 0 else 0.0
        if deployment.decimation < 1 or step <= 0 or not np.isclose(rate, deployment.fps):
            raise UserError(
                f"{path}: fps is {deployment.fps:g}, but {deployment.decimation} steps of {deployment.timestep:g} s "
                f"an action are {rate:g}"
            )
        if deployment.sees_tokens and not deployment.motion.tokenizer_sha256:
            raise UserError(
                f"{path}: the policy sees tokens, and motion says no tokenizer_sha256: export the policy again"
            )
        return deployment


def motion_sha256(library: MotionLibrary) -> str:
    """Of a library's clips: lengths, rate, and what the robot does, to 1e-4 rad and m; names do not matter."""
    digest = hashlib.sha256(f"{library.fps:g} {library.length.tolist()} {','.join(library.joint_names)}".encode())
    for values in (library.frames.joint_pos, library.frames.body_pos_w[:, library.root]):
        digest.update((values.cpu() * 1e4).round().to(torch.int32).numpy().tobytes())
    return digest.hexdigest()


def attach_metadata(path: Path, deployment: Deployment) -> None:
    """Write a deployment into an ONNX file, in place of what was there.

    Raises:
        UserError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError(_not_installed("onnx")) from error
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, deployment.metadata())
    onnx.save(model, str(path))


class OnnxPolicy:
    """A policy in an ONNX file, on one thread of the processor: call it with (N, D) observations for (N, J) actions.

    Attributes:
        path: of the file.
        metadata: what the file says of itself.
        observation_size, actions: D and J of the network.

    Raises:
        UserError: no such file, no such network, or onnxruntime is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(_not_installed("onnxruntime")) from error
        self.path = existing_file(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no class of its own for what is no ONNX
            raise UserError(f"{path}: cannot be read as ONNX ({error})") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [each.name for each in inputs] != [_INPUT] or [each.name for each in outputs] != [_OUTPUT]:
            raise UserError(
                f"{path}: maps {_listed(each.name for each in inputs)} to {_listed(each.name for each in outputs)}, "
                f"expected {_INPUT} to {_OUTPUT}: export it with scripts/deployment/export_policy.py"
            )
        self.observation_size, self.actions = inputs[0].shape[-1], outputs[0].shape[-1]
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, observations: Tensor) -> Tensor:
        """(N, J) actions of observations (N, D)."""
        rows = observations.cpu().numpy().astype(np.float32)
        actions = [np.asarray(self._session.run([_OUTPUT], {_INPUT: row[None]})[0]) for row in rows]
        return torch.from_numpy(np.concatenate(actions)).to(observations.device)


def export_onnx(network: torch.nn.Module, deployment: Deployment, path: Path) -> None:
    """Write a network from observations to actions as ONNX, with all that it needs to be run; and verify what came.

    Raises:
        UserError: the network does not fit, the file cannot be written, or onnx is not installed.
    """
    with replacing(path) as temporary, warnings.catch_warnings():
        # the other exporter needs onnxscript, and has nothing to offer for a perceptron
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.to("cpu").eval(),
            (torch.zeros(1, deployment.observation_size),),
            str(temporary),
            input_names=[_INPUT],
            output_names=[_OUTPUT],
            opset_version=18,
            dynamo=False,
        )
        attach_metadata(temporary, deployment)
        verify(OnnxPolicy(temporary), deployment, DEPLOY)


def verify(policy: OnnxPolicy, deployment: Deployment, source: str | Path) -> None:
    """Does the policy fit what it is to be run by?

    Args:
        source: of the deployment, for the message.

    Raises:
        UserError: it has no metadata or other than the deployment's, or its network another size.
    """
    here, there = policy.metadata, deployment.metadata()
    if "schema" not in here:
        raise UserError(f"{policy.path}: says nothing of its schema: no policy of scripts/deployment/export_policy.py")
    for key, value in there.items():
        if here.get(key) != value:
            raise UserError(f"{policy.path}: {key} is {_difference(here.get(key), value, str(source))}")
    for what, size, expected in (
        ("observations", policy.observation_size, deployment.observation_size),
        ("actions", policy.actions, len(deployment.joints)),
    ):
        if size != expected:
            raise UserError(f"{policy.path}: the network has {size} {what}, {source} has {expected}")


def _difference(here: str | None, there: str, source: str) -> str:
    """The first place where two lists differ, since whole ones are long."""
    if here is None:
        return f"not told, in {source} it is {_short(there)}"
    ours, theirs = here.split(","), there.split(",")
    if len(ours) == len(theirs) == 1:
        return f"{_short(here)}, in {source} {_short(there)}"
    pairs = enumerate(zip_longest(ours, theirs, fillvalue="nothing"))
    number, (one, other) = next((at, pair) for at, pair in pairs if pair[0] != pair[1])
    counts = "" if len(ours) == len(theirs) else f" ({len(ours)} values, there {len(theirs)})"
    return f"{one} at place {number}, in {source} {other}{counts}"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.9g}"
    return ",".join(map(_text, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _short(text: str, most: int = 60) -> str:
    return f"'{text}'" if len(text) <= most else f"'{text[:most]}…'"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _not_installed(package: str) -> str:
    return f"{package} is not installed: pip install 'g1_vq_retarget[deployment]'"
