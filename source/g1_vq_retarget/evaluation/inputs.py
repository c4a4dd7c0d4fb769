"""A folder of windows that a trained model can be measured on."""

from __future__ import annotations

from pathlib import Path

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.training.checkpoint import Checkpoint


def folder_for(checkpoint: Checkpoint, path: Path) -> DataFolder:
    """The folder of windows at `path`, if they are such as the model was trained on.

    Raises:
        UserError: no such folder, or joints, rate, robot, orientation or length of its windows do not fit the model.
    """
    folder = DataFolder(path)
    spec = checkpoint.spec
    if folder.joint_names != spec.joint_names:
        raise UserError(f"{path}: joint order differs from {checkpoint.path}'s; make the folder again")
    if folder.fps != spec.fps:
        raise UserError(f"{path}: {folder.fps:g} fps, {checkpoint.path} works at {spec.fps:g}; make it at that rate")
    if folder.robot != spec.robot:
        raise UserError(f"{path}: motion of {folder.robot}, {checkpoint.path} is for {spec.robot}; use another")
    if folder.orientation != spec.orientation:
        raise UserError(
            f"{path}: orientation {folder.orientation}, {checkpoint.path} works with {spec.orientation}; "
            "make it with another --orientation"
        )
    if folder.window % checkpoint.model.downsample:
        raise UserError(
            f"{path}: windows of {folder.window} frames do not divide into {checkpoint.path}'s steps of "
            f"{checkpoint.model.downsample}; make it with another --window"
        )
    return folder
