"""A window of training data as robot motion: as it is, out of its own tokens and out of the human's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from g1_vq_retarget.data.features import RootStart
from g1_vq_retarget.data.folder import DataFolder, Split
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import Provenance, RobotClip
from g1_vq_retarget.retarget.retargeter import Retargeter

# Where runs stand, for whoever names one by its checkpoint in the original.
RUNS = Path("runs")


def find_run(checkpoint: Path, runs: Path = RUNS) -> Path:
    """A checkpoint as the original names it, `checkpoints/NAME.pth`, as the run or weights of the same stem here.

    Those of the original are pickles of another network and cannot be read. Any other name is returned as it is.

    Raises:
        UserError: there is no run of that stem.
    """
    if checkpoint.suffix not in (".pth", ".pt"):
        return checkpoint
    # with_suffix("") would take a dot within the stem for a suffix, were it called twice
    stem = checkpoint.name.removesuffix(checkpoint.suffix)
    places = [checkpoint.parent / stem, checkpoint.parent / f"{stem}.safetensors", runs / stem]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        looked = ", ".join(map(str, places))
        raise UserError(f"--ckpt {checkpoint}: no run of that name ({looked}); train one, or give a run folder")
    return found


def export_window(retargeter: Retargeter, folder: DataFolder, split: str, sample: int) -> dict[str, RobotClip]:
    """The motion of one window: "gt" as the data has it, "recon" from its robot's tokens, "cross" from its human's.

    Samples are counted over the windows that have a human side. Where the split has none, or the model was trained
    without any, they are counted over all windows and there is no "cross".

    Args:
        retargeter: the model.
        folder: windows, of the model's joints and rate.
        split: which of the folder's.
        sample: from 0.

    Raises:
        UserError: no such split or sample, or windows of another robot or rate than the model's.
    """
    _check_fits(retargeter, folder)
    windows = folder.split(split)
    paired = len(windows.human_rows) > 0 and bool(retargeter.checkpoint.info["human_windows"])
    samples = len(windows.human_rows) if paired else len(windows)
    if not 0 <= sample < samples:
        raise UserError(f"--sample_idx {sample}: split '{split}' of {folder.path} has samples 0 to {samples - 1}")
    row = int(windows.human_rows[sample]) if paired else sample
    name = f"{windows.clip_of_row[row]}_window_{row}"
    spec, model = retargeter.spec, retargeter.model
    robot = torch.from_numpy(windows.robot_features(np.array([row]), spec)).to(retargeter.device)
    clips = {"gt": _true_clip(windows, row, name)}
    with torch.inference_mode():
        clips["recon"] = _decoded(retargeter, model.encode_robot(robot).tokens, name, folder)
        if paired:
            human = torch.from_numpy(windows.human_features(np.array([sample]), spec)).to(retargeter.device)
            clips["cross"] = _decoded(retargeter, model.encode_human(human).tokens, name, folder)
    return clips


def _check_fits(retargeter: Retargeter, folder: DataFolder) -> None:
    spec, step = retargeter.spec, retargeter.model.downsample
    same = (folder.robot, folder.joint_names, folder.fps) == (spec.robot, spec.joint_names, spec.fps)
    if not same or folder.orientation != spec.orientation or folder.window % step:
        raise UserError(
            f"{folder.path}: windows of {folder.window} frames at {folder.fps:g} fps of {folder.robot or 'a robot'} "
            f"({folder.orientation}) do not fit {retargeter.checkpoint.path}, which reads {spec.robot or 'a robot'} at "
            f"{spec.fps:g} fps ({spec.orientation}) in steps of {step}; make the folder that it was trained on"
        )


def _true_clip(windows: Split, row: int, name: str) -> RobotClip:
    folder = windows.folder
    joints = np.asarray(windows.robot[row], dtype=np.float64)
    return RobotClip(
        name=name,
        fps=folder.fps,
        root_pos_w=np.tile([0.0, 0.0, RootStart.height], (len(joints), 1)),
        root_quat_w=np.tile([1.0, 0.0, 0.0, 0.0], (len(joints), 1)),
        joint_names=tuple(folder.joint_names),
        joint_pos=joints,
        provenance=Provenance(name, licence="; ".join(folder.manifest["licences"])),
    )


def _decoded(retargeter: Retargeter, tokens: torch.Tensor, name: str, folder: DataFolder) -> RobotClip:
    """Decoded as `Retargeter` does it, joints held at their limits."""
    made = retargeter.tokens_from(tokens[0].cpu().numpy(), name)
    clip, _ = retargeter.decode(made)
    licences = {*made.licence.split("; "), *folder.manifest["licences"]} - {""}
    return replace(clip, provenance=Provenance(clip.provenance.source, licence="; ".join(sorted(licences))))
