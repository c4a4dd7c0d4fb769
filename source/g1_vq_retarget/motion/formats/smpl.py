"""What all files of SMPL parameters share: from angles, a shape and a translation to a human's motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.files import existing_file
from g1_vq_retarget.motion.clip import HumanClip, MotionError, Provenance
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.human_axes import WORLD_AXES, UpAxis, find_up
from g1_vq_retarget.motion.formats.npz import numbers, read_arrays
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS, HUMAN_PARENTS, joint_poses, leg_length
from g1_vq_retarget.motion.smpl_body import SmplBody, SmplFamily, mean_body

# Vertices of the models' templates.
VERTICES: dict[SmplFamily, int] = {"smpl": 6890, "smplx": 10475}

# No position (m), angle or shape parameter is as large as this.
LARGEST = 1e6


def find_body(family: SmplFamily, betas: np.ndarray | None, model: Path | None) -> tuple[SmplBody, Finding]:
    """The body of a shape, (B,) or a row a frame, of which the mean is taken.

    Raises:
        MotionError: a shape that is no numbers, or a model that is none.
    """
    if betas is not None:
        if betas.ndim > 2 or not (np.abs(betas) < LARGEST).all():
            raise MotionError(f"betas has shape {betas.shape}, expected numbers (B,) or (frames, B) below {LARGEST:g}")
        betas = betas.mean(axis=0) if betas.ndim == 2 and len(betas) else betas.reshape(-1)
    if model is None:
        body = mean_body(family, betas)
        return body, Finding("lengths of the body", body.source, "convention")
    body = load_body(model, family, betas)
    return body, Finding("lengths of the body", body.source, "caller")


def load_body(path: str | Path, family: SmplFamily, betas: np.ndarray | None = None) -> SmplBody:
    """The body that a model has for a shape: its joints are `J_regressor @ (v_template + shapedirs @ betas)`.

    Args:
        path: the model as NPZ, as SMPL-X is published; of SMPL and SMPL-H, which are pickles, smplx's tools write it.
        family: what the parameters belong to.
        betas: (B,) shape; more numbers than the model has directions are left out.

    Raises:
        UserError: no file there.
        MotionError: not such a model, or one of another family.
    """
    path = existing_file(path)
    try:
        arrays = read_arrays(path, ("J_regressor", "v_template", "shapedirs"))
        regressor, template, directions = (numbers(arrays, key) for key in arrays)
    except MotionError as error:
        raise MotionError(
            f"{path} is no SMPL model as NPZ of plain arrays ({error}); convert a pickle with the smplx package's tools"
        ) from error
    vertices = VERTICES[family]
    if template.shape != (vertices, 3) or regressor.shape[1:] != (vertices,) or directions.shape[:2] != (vertices, 3):
        raise MotionError(f"{path}: {len(template)} vertices, expected {vertices} of a model of the family {family}")
    if len(regressor) < len(HUMAN_JOINTS):
        raise MotionError(f"{path}: J_regressor has {len(regressor)} joints, expected at least {len(HUMAN_JOINTS)}")
    used = 0 if betas is None else min(len(betas), directions.shape[2])
    shape = template + (directions[..., :used] @ betas[:used] if betas is not None else 0)
    joints = np.asarray(regressor[: len(HUMAN_JOINTS)] @ shape, dtype=float)
    offsets = joints - joints[np.maximum(HUMAN_PARENTS, 0)]
    return SmplBody(joints[0], offsets, f"{path.name} with {used} shape parameters")


def smpl_clip(
    name: str,
    fps: float,
    root_orient: np.ndarray,
    pose_body: np.ndarray,
    root_pos: np.ndarray,
    body: SmplBody,
    up: str,
    provenance: Provenance,
) -> HumanClip:
    """A motion in the world's axes.

    Args:
        name: of the clip.
        fps: frames a second.
        root_orient: (T, 3) rotation vectors of the pelvis in the file's axes.
        pose_body: (T, 63) local rotation vectors of the 21 joints.
        root_pos: (T, 3) pelvis in the file's axes, m.
        body: its lengths.
        up: the file's up axis.
        provenance: where it comes from.

    Raises:
        MotionError: shapes that do not fit, values that are no numbers.
    """
    frames = len(root_pos)
    for key, values, width in (("root_orient", root_orient, 3), ("pose_body", pose_body, 63), ("trans", root_pos, 3)):
        if values.shape != (frames, width):
            raise MotionError(f"{key} has shape {values.shape}, expected ({frames}, {width})")
        if not (fine := np.abs(values) < LARGEST).all():
            frame, column = np.argwhere(~fine)[0]
            raise MotionError(f"{key} is {values[frame, column]} at frame {frame}, expected a number below {LARGEST:g}")
    if frames == 0:
        raise MotionError("the motion has no frames")
    axes = Rotation.from_matrix(WORLD_AXES[up])
    local = Rotation.from_rotvec(pose_body.reshape(-1, 3)).as_quat(scalar_first=True)
    return HumanClip(
        name=name,
        fps=fps,
        root_pos_w=root_pos @ WORLD_AXES[up].T,
        root_quat_w=(axes * Rotation.from_rotvec(root_orient)).as_quat(scalar_first=True),
        joint_quat=local.reshape(frames, len(HUMAN_JOINTS) - 1, 4),
        rest_offsets=body.rest_offsets,
        provenance=provenance,
    )


def find_smpl_up(clip: HumanClip, up: UpAxis | None, usual: UpAxis) -> Finding:
    """The up axis of a clip that was read as if z were up, see `find_up`."""
    pos, _ = joint_poses(clip.root_pos_w, clip.root_rotation, clip.local_rotations, clip.rest_offsets)
    return find_up(pos / leg_length(clip.rest_offsets), up, usual, "--bvh-up y|z")
