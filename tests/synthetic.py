"""Made-up motion for tests, without a file of anybody's: clips, motion files, data folders, models.

The same arguments give the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.process import ClipFiles, WindowConfig, process
from g1_vq_retarget.models import DualEncoderVQVAE, ModelConfig, NetworkConfig, QuantizerConfig
from g1_vq_retarget.motion import HumanClip, Provenance, RobotClip
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.motion.formats.bvh import CONVENTIONS, WORLD_AXES
from g1_vq_retarget.motion.quality import clip_physics
from g1_vq_retarget.motion.skeleton import BODY_AXES, HUMAN_JOINTS, HUMAN_PARENTS
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.training.batches import load_batch
from g1_vq_retarget.training.checkpoint import build_model, save_checkpoint
from g1_vq_retarget.training.config import TrainConfig
from g1_vq_retarget.training.losses import LossConfig

FPS = 30.0

# A body of 0.86 m legs in a T-pose: each joint in its parent's frame (x left, y up, z forward), m.
_ONE_SIDE = {
    "hip": (0.10, -0.06, 0.0),
    "knee": (0.0, -0.44, 0.0),
    "ankle": (0.0, -0.42, 0.0),
    "foot": (0.0, -0.06, 0.12),
    "collar": (0.06, 0.20, 0.0),
    "shoulder": (0.11, 0.0, 0.0),
    "elbow": (0.33, 0.0, 0.0),
    "wrist": (0.25, 0.0, 0.0),
}
_SPINE = {"pelvis": 0.0, "spine1": 0.07, "spine2": 0.12, "spine3": 0.12, "neck": 0.25, "head": 0.11}


def waves(frames: int, columns: int, seed: int, fps: float = FPS) -> np.ndarray:
    """(frames, columns) smooth numbers between -1 and 1, each column another sum of two sines."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / fps
    rates, phases = rng.uniform(0.1, 1.2, (2, columns)), rng.uniform(0, 2 * np.pi, (2, columns))
    return np.sin(2 * np.pi * rates * time[:, None] + phases).mean(axis=1)


def robot_clip(frames: int = 120, seed: int = 0, fps: float = FPS, name: str = "robot") -> RobotClip:
    """Every joint moves within its limits, the root turns and leans; the lower foot stands on the floor."""
    robot = load_robot()
    middle, half = robot.limits.mean(axis=1), np.ptp(robot.limits, axis=1) / 2
    lean = Rotation.from_rotvec(0.3 * waves(frames, 3, seed + 1, fps) * (1, 1, 0))
    turn = Rotation.from_rotvec(np.outer(2 * waves(frames, 1, seed + 2, fps)[:, 0] + seed, (0, 0, 1)))
    clip = RobotClip(
        name=name,
        fps=fps,
        root_pos_w=waves(frames, 3, seed + 3, fps) * (2, 2, 0.1) + (1, -2, 0.75),
        root_quat_w=(turn * lean).as_quat(scalar_first=True),
        joint_names=robot.joint_names,
        joint_pos=middle + 0.6 * half * waves(frames, len(robot.joints), seed, fps),
        provenance=Provenance(f"{name}.csv", licence="CC0 robot"),
    )
    return grounded(clip)


def grounded(clip: RobotClip) -> RobotClip:
    """The clip with its lowest sole on the floor and, from frame to frame, at rest there: its path is what its legs do.

    Formats that tell no order of the quaternion are read by what the robot's feet do on the ground.
    """
    sole = clip_physics(clip, load_robot()).sole.flatten(1, 2).numpy()
    frame, lowest = np.arange(len(clip)), sole[..., 2].argmin(axis=1)
    here, after = sole[frame[:-1], lowest[:-1]], sole[frame[1:], lowest[:-1]]
    slid = np.concatenate([np.zeros((1, 2)), np.cumsum((after - here)[:, :2], axis=0)])
    return replace(clip, root_pos_w=clip.root_pos_w - np.column_stack([slid, sole[frame, lowest, 2]]))


def other_robot_clip(
    frames: int = 120, seed: int = 0, joints: int = 24, fps: float = FPS, name: str = "other"
) -> RobotClip:
    """Motion of a robot that nothing is known of, not even its joints' names."""
    return replace(
        robot_clip(frames, seed, fps, name),
        joint_names=tuple(f"joint_{joint:02d}" for joint in range(joints)),
        joint_pos=waves(frames, joints, seed, fps),
    )


def rest_offsets() -> np.ndarray:
    """(22, 3) the body's T-pose, m."""
    offsets = []
    for name in HUMAN_JOINTS:
        side, _, joint = name.partition("_")
        offsets.append(
            (0.0, _SPINE[name], 0.0)
            if name in _SPINE
            else _ONE_SIDE[joint] * np.array((1 if side == "left" else -1, 1, 1))
        )
    return np.array(offsets)


def human_clip(frames: int = 120, seed: int = 0, fps: float = FPS, name: str = "human") -> HumanClip:
    """Every joint moves about the T-pose, the body wanders and turns upright."""
    turns = waves(frames, 21 * 3, seed + 10, fps).reshape(-1, 3)
    body = Rotation.from_rotvec(np.outer(2 * waves(frames, 1, seed + 11, fps)[:, 0] + seed, (0, 0, 1)))
    lean = Rotation.from_rotvec(0.1 * waves(frames, 3, seed + 12, fps) * (1, 1, 0))
    return HumanClip(
        name=name,
        fps=fps,
        root_pos_w=waves(frames, 3, seed + 13, fps) * (2, 2, 0.05) + (-3, 1, 0.92),
        root_quat_w=(body * lean * BODY_AXES.inv()).as_quat(scalar_first=True),
        joint_quat=Rotation.from_rotvec(0.3 * turns).as_quat(scalar_first=True).reshape(frames, 21, 4),
        rest_offsets=rest_offsets(),
        provenance=Provenance(f"{name}.bvh", licence="CC0 human"),
    )


def scaled(clip: HumanClip, factor: float) -> HumanClip:
    """The same motion by a body of another size."""
    return replace(clip, root_pos_w=clip.root_pos_w * factor, rest_offsets=clip.rest_offsets * factor)


def write_bvh(clip: HumanClip, path: Path) -> Path:
    """The clip as a Y-up BVH in cm with LAFAN1's names, its zero pose a T-pose along the file's axes."""
    names = [CONVENTIONS["lafan1"][joint] for joint in HUMAN_JOINTS]

    def block(joint: int) -> str:
        where = "6 Xposition Yposition Zposition" if joint == 0 else "3"
        children = [child for child, parent in enumerate(HUMAN_PARENTS) if parent == joint]
        offset = " ".join(f"{100 * value:.6f}" for value in clip.rest_offsets[joint])
        return "\n".join(
            [
                f"{'JOINT' if joint else 'ROOT'} {names[joint]}\n{{",
                f"OFFSET {offset}\nCHANNELS {where} Zrotation Yrotation Xrotation",
                *(map(block, children) if children else ["End Site\n{\nOFFSET 0 0 0\n}"]),
                "}",
            ]
        )

    axes = WORLD_AXES["y"]
    root = Rotation.from_matrix(axes.T @ clip.root_rotation.as_matrix())
    turns = clip.local_rotations.as_euler("ZYX", degrees=True).reshape(len(clip), -1)
    # depth first, as the hierarchy is written
    order = _depth_first(0)
    columns = [100 * clip.root_pos_w @ axes, root.as_euler("ZYX", degrees=True)]
    columns += [turns[:, 3 * (joint - 1) : 3 * joint] for joint in order[1:]]
    rows = [" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(columns, axis=1)]
    head = ["HIERARCHY", block(0), "MOTION", f"Frames: {len(clip)}", f"Frame Time: {1 / clip.fps:.9f}"]
    path.write_text("\n".join([*head, *rows, ""]))
    return path


def _depth_first(joint: int) -> list[int]:
    children = [child for child, parent in enumerate(HUMAN_PARENTS) if parent == joint]
    return [joint, *(below for child in children for below in _depth_first(child))]


def write_motion_files(folder: Path, frames: int = 120) -> Path:
    """`g1/` with five clips as CSV, `bvh/` with the human side of two of them and one human alone, `split.json`."""
    (folder / "g1").mkdir(parents=True)
    (folder / "bvh").mkdir()
    for seed, name in enumerate(["dance", "run", "walk", "jump", "sit"]):
        save_motion(robot_clip(frames + 10 * seed, seed, name=name), folder / "g1" / f"{name}.csv", "csv")
    for seed, name in ((0, "dance"), (3, "jump")):
        write_bvh(human_clip(frames + 10 * seed, seed), folder / "bvh" / f"{name}.bvh")
    write_bvh(human_clip(frames, 7), folder / "bvh" / "crawl.bvh")
    (folder / "split.json").write_text('{"train": ["dance", "run"], "val": ["walk"], "test": ["jump", "sit"]}')
    return folder


def pair(name: str, frames: int, seed: int) -> tuple[RobotClip, HumanClip]:
    """Both sides of a clip."""
    return robot_clip(frames, seed, name=name), human_clip(frames, seed, name=name)


def data_folder(
    out: Path,
    clips: Mapping[str, Sequence[tuple[RobotClip, HumanClip | None]]] | None = None,
    config: WindowConfig | None = None,
) -> DataFolder:
    """A folder of windows of clips in memory, by default of a train and a test split with a human side in each."""
    if clips is None:
        clips = {
            "train": [pair("dance", 150, 0), (robot_clip(120, 1, name="run"), None)],
            "val": [(robot_clip(90, 2, name="walk"), None)],
            "test": [(robot_clip(100, 4, name="sit"), None), pair("jump", 100, 3)],
        }
    robots = {robot.name: robot for split in clips.values() for robot, _ in split}
    humans = {robot.name: human for split in clips.values() for robot, human in split if human is not None}
    splits = {
        split: [
            ClipFiles(robot.name, Path(f"{robot.name}.csv"), None if human is None else Path(f"{robot.name}.bvh"))
            for robot, human in entries
        ]
        for split, entries in clips.items()
    }
    config = config or WindowConfig(window=16, stride=8)
    process(splits, out, config, load_robot(), lambda path: robots[path.stem], lambda path: humans[path.stem])
    return DataFolder(out)


def tiny_model(kind: str = "hybrid", downsample: int = 4, root: bool = True, **quantizer: object) -> ModelConfig:
    """A model of a few thousand numbers."""
    vocabulary = {"fsq_levels": [[5, 4], [3]], "levels": 2, "codebook_size": 8, "kmeans_iters": 3} | quantizer
    return ModelConfig(
        network=NetworkConfig(latent_dim=8, width=16, depth=1, downsample=downsample, smoothing=4),  # type: ignore[arg-type]
        quantizer=QuantizerConfig(kind=kind, **vocabulary),  # type: ignore[arg-type]
        root=root,
    )


def tiny_training(data: Path, run: Path, **changes: object) -> TrainConfig:
    """A training of some seconds."""
    config = TrainConfig(data=data, run=run, epochs=2, batch_size=16, pairs=4, model=tiny_model(), loss=LossConfig())
    return replace(config, **changes)  # type: ignore[arg-type]


def started(folder: DataFolder, config: ModelConfig, seed: int = 0) -> DualEncoderVQVAE:
    """An untrained model that has seen the folder's data: a transform coder with its codes in place."""
    torch.manual_seed(seed)
    spec, split = folder.spec(config.root), folder.split("train")
    model = build_model(spec, config)
    pairs, everything = np.arange(len(split.human)), np.arange(len(split))
    paired = load_batch(split, spec, np.asarray(split.human_rows), pairs)
    robots = load_batch(split, spec, everything, pairs[:0]).robot
    model.start_from_data(robots, spec.joints, paired.robot, paired.human)
    return model.eval()


def save_started(path: Path, folder: DataFolder, config: ModelConfig | None = None, seed: int = 0) -> Path:
    """The checkpoint of such a model."""
    config = config or tiny_model()
    pairs = folder.manifest["splits"]["train"]["human_windows"]
    info = {"epoch": 0, "human_windows": pairs, "licences": folder.manifest["licences"]}
    save_checkpoint(path, started(folder, config, seed), folder.spec(config.root), info)
    return path
