"""AMASS's NPZ: a human's motion as SMPL parameters, in both of its spellings.

SMPL-H: poses (T, 156), trans (T, 3), betas (16,), gender, mocap_framerate. SMPL-X: poses (T, 165), root_orient (T, 3),
pose_body (T, 63), trans, betas, gender, mocap_frame_rate, surface_model_type. The first 66 columns of poses are the
pelvis and the 21 body joints in both (https://amass.is.tue.mpg.de, "body parameters"). The pelvis stands at trans plus
its place in the model at rest, whatever its rotation (smplx, lbs.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from g1_vq_retarget.files import existing_file, sha256_of
from g1_vq_retarget.motion.clip import HumanClip, MotionError, Provenance
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.human_axes import UpAxis, warn_of_floor
from g1_vq_retarget.motion.formats.npz import number, numbers, read_arrays, some_of, write_arrays
from g1_vq_retarget.motion.formats.smpl import find_body, find_smpl_up, smpl_clip
from g1_vq_retarget.motion.smpl_body import SmplFamily, mean_body

# Rotation vectors of SMPL-X: pelvis, 21 body joints, jaw, eyes, hands. SMPL has 24, SMPL-H 52.
_WIDTHS: dict[int, SmplFamily] = {72: "smpl", 156: "smpl", 165: "smplx"}
_RATES = ("mocap_framerate", "mocap_frame_rate", "fps")


def is_amass(keys: frozenset[str]) -> bool:
    """Whether an NPZ with these keys holds SMPL parameters over time."""
    return "trans" in keys and ("poses" in keys or {"root_orient", "pose_body"} <= keys)


def read_amass_npz(
    path: str | Path,
    *,
    up: UpAxis | None = None,
    fps: float | None = None,
    smpl_model: str | Path | None = None,
    licence: str = "",
    findings: list[Finding] | None = None,
) -> HumanClip:
    """Read SMPL parameters as AMASS stores them; hands, face and soft tissue are left out.

    Args:
        path: the file; its stem becomes the clip's name.
        up: the file's up axis; None finds it in the motion. AMASS's own files have z up.
        fps: frames a second, for a file that tells none.
        smpl_model: the body model as NPZ, for lengths from betas; None takes a mean body, see `mean_body`.
        licence: licence of the motion, for its provenance, where the file does not tell it.
        findings: is told the body, the spelling and the up axis, and how they were settled.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: missing keys, wrong widths, no rate, values that are no numbers, an up axis that cannot be told.
    """
    path = existing_file(path)
    with naming(path):
        optional = ("poses", "root_orient", "pose_body", "betas", "surface_model_type", "licence", *_RATES)
        arrays = read_arrays(path, ("trans",), optional)
        trans = numbers(arrays, "trans")
        root_orient, pose_body, family = _pose(arrays)
        rates = [number(arrays, key) for key in _RATES if key in arrays]
        if not rates and fps is None:
            raise MotionError(f"lacks a frame rate ({', '.join(_RATES)}): say it with --input-fps or --source-fps")
        betas = numbers(arrays, "betas") if "betas" in arrays else None
        body, lengths = find_body(family, betas, None if smpl_model is None else Path(smpl_model))
        told = str(arrays.get("licence", "")) or licence
        provenance = Provenance(path.name, sha256_of(path), told)
        rate = rates[0] if rates else float(fps or 0)

        def clip_with(axis: str) -> HumanClip:
            if trans.ndim != 2 or trans.shape[1] != 3:
                raise MotionError(f"trans has shape {trans.shape}, expected (frames, 3)")
            return smpl_clip(path.stem, rate, root_orient, pose_body, trans + body.pelvis, body, axis, provenance)

        up_axis = find_smpl_up(clip_with("z"), up, "z")
        clip = clip_with(up_axis.answer)
    if findings is not None:
        findings += [Finding("body model", family, "file"), lengths, up_axis]
    warn_of_floor(clip, path)
    return clip


def write_amass_npz(clip: HumanClip, path: str | Path) -> None:
    """Write a human's motion in AMASS's SMPL-X spelling, z up, with the mean shape: lengths of bones are not kept.

    Raises:
        UserError: the file cannot be written.
    """
    frames = len(clip)
    root_orient = clip.root_rotation.as_rotvec()
    pose_body = clip.local_rotations.as_rotvec().reshape(frames, -1)
    rest = np.zeros((frames, 165 - 66))
    arrays = {
        "gender": np.array("neutral"),
        "surface_model_type": np.array("smplx"),
        "mocap_frame_rate": np.array(float(clip.fps)),
        "mocap_time_length": np.array(clip.duration),
        "trans": clip.root_pos_w - mean_body("smplx").pelvis,
        "betas": np.zeros(16),
        "num_betas": np.array(16),
        "root_orient": root_orient,
        "pose_body": pose_body,
        "poses": np.concatenate([root_orient, pose_body, rest], axis=1),
        "licence": np.array(clip.provenance.licence),
    }
    write_arrays(path, arrays)


def _pose(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, SmplFamily]:
    """Rotation vectors of the pelvis (T, 3) and the body (T, 63), and the family they belong to."""
    named = str(arrays.get("surface_model_type", "")).strip("b'").lower().replace("-", "")
    if "root_orient" in arrays and "pose_body" in arrays:
        family: SmplFamily = "smpl" if named in ("smpl", "smplh") else "smplx"
        return numbers(arrays, "root_orient"), numbers(arrays, "pose_body"), family
    if "poses" not in arrays:
        raise MotionError(f"lacks poses, or root_orient and pose_body; it holds {some_of(arrays)}")
    poses = numbers(arrays, "poses")
    if poses.ndim != 2 or poses.shape[1] not in _WIDTHS:
        widths = ", ".join(map(str, _WIDTHS))
        raise MotionError(f"poses has shape {poses.shape}, expected frames of {widths} numbers (SMPL, SMPL-H, SMPL-X)")
    return poses[:, :3], poses[:, 3:66], _WIDTHS[poses.shape[1]]
