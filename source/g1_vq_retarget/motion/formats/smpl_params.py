"""SMPL parameters that video gives: GVHMR's `hmr4d_results.pt` and WHAM's `wham_output.pkl`.

GVHMR (tools/demo/demo.py): {smpl_params_global: {body_pose (T, 63), global_orient (T, 3), transl (T, 3),
betas (T, 10)}, smpl_params_incam: the same, ...}, SMPL-X, y up. WHAM (demo.py): {subject: {pose_world (T, 72),
trans_world (T, 3), betas (T, 10), frame_ids (T,), ...}}, SMPL; its network turns the world to y up before storing it
(return_y_up), and trans_world is where the middle of the hips is (lib/models/smpl.py). Neither tells the rate of its
video, nor its floor.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.files import existing_file, sha256_of
from g1_vq_retarget.motion.clip import HumanClip, MotionError, Provenance
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.human_axes import UpAxis, warn_of_floor
from g1_vq_retarget.motion.formats.npz import numbers, some_of
from g1_vq_retarget.motion.formats.safe_pickle import read_pickle
from g1_vq_retarget.motion.formats.smpl import find_body, smpl_clip
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS
from g1_vq_retarget.motion.smpl_body import SmplBody

# Of the keys of such pickles, and of what stands below any key, those that nothing else has; see `pickled_keys`.
VIDEO_KEYS = frozenset({"smpl_params_global", "*/pose_world"})
_GVHMR = ("body_pose", "global_orient", "transl")
_WHAM = ("pose_world", "trans_world")


def is_gvhmr(tree: object) -> bool:
    """Whether a pickle's contents are GVHMR's."""
    return isinstance(tree, dict) and isinstance(tree.get("smpl_params_global"), dict)


def is_wham(tree: object) -> bool:
    """Whether a pickle's contents are WHAM's: subjects and nothing else, each with its motion."""
    return (
        isinstance(tree, dict)
        and len(tree) > 0
        and all(isinstance(subject, dict) and "pose_world" in subject for subject in tree.values())
    )


def read_smpl_params(
    path: str | Path,
    *,
    fps: float | None = None,
    up: UpAxis | None = None,
    smpl_model: str | Path | None = None,
    licence: str = "",
    findings: list[Finding] | None = None,
) -> list[HumanClip]:
    """Read what GVHMR or WHAM found in a video, in the world's axes: one clip a person, two where one was out of sight.

    Args:
        path: the file.
        fps: frames a second of the video. The files do not tell it.
        up: the file's up axis, y unless told.
        smpl_model: the body model as NPZ (GVHMR: SMPL-X, WHAM: SMPL), see `load_body`; None takes a mean body.
        licence: licence of the motion, for its provenance.
        findings: is told the body and the up axis, and how they were settled.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: neither of the two, missing keys, wrong widths, no rate, values that are no numbers.
    """
    path = existing_file(path)
    with naming(path):
        return smpl_params(read_pickle(path), path, fps, up, smpl_model, licence, findings)


def smpl_params(
    tree: object,
    path: Path,
    fps: float | None,
    up: UpAxis | None,
    smpl_model: str | Path | None,
    licence: str,
    findings: list[Finding] | None,
) -> list[HumanClip]:
    """`read_smpl_params` of a pickle that was read already. Does not name the file in errors."""
    if fps is None:
        raise MotionError(
            "tells no frame rate: say the video's with --input-fps or --source-fps (GVHMR takes 30 for granted)"
        )
    model = None if smpl_model is None else Path(smpl_model)
    provenance = Provenance(path.name, sha256_of(path), licence)
    axis = up or "y"
    told = [
        Finding("up axis", axis, "convention" if up is None else "caller"),
        Finding("frame rate", f"{fps:g}", "caller"),
    ]
    clips: list[HumanClip] = []
    if isinstance(tree, dict) and is_gvhmr(tree):
        arrays = _arrays(tree["smpl_params_global"], _GVHMR, "smpl_params_global")
        body, lengths = find_body("smplx", arrays.get("betas"), model)
        pose, trans = arrays["body_pose"], _positions(arrays, "transl")
        clips.append(
            smpl_clip(path.stem, fps, arrays["global_orient"], pose, trans + body.pelvis, body, axis, provenance)
        )
        told.append(lengths)
    elif isinstance(tree, dict) and is_wham(tree):
        for subject, values in tree.items():
            arrays = _arrays(values, _WHAM, f"subject {subject}")
            body, lengths = find_body("smpl", arrays.get("betas"), model)
            clip = _wham_clip(f"{path.stem}_{subject}", fps, arrays, body, axis, provenance)
            clips += _in_sight(clip, arrays.get("frame_ids"), path)
            told.append(lengths)
    else:
        raise MotionError("is neither GVHMR's (smpl_params_global) nor WHAM's (subjects with pose_world)")
    for clip in clips:
        warn_of_floor(clip, path)
    if findings is not None:
        findings += told
    return clips


def _wham_clip(
    name: str, fps: float, arrays: Mapping[str, np.ndarray], body: SmplBody, axis: str, provenance: Provenance
) -> HumanClip:
    pose, hips = arrays["pose_world"], _positions(arrays, "trans_world")
    if pose.shape != (len(hips), 72):
        raise MotionError(f"pose_world has shape {pose.shape}, expected ({len(hips)}, 72)")
    sides = [HUMAN_JOINTS.index(f"{side}_hip") for side in ("left", "right")]
    middle = body.rest_offsets[sides].mean(axis=0)
    pelvis = hips - Rotation.from_rotvec(pose[:, :3]).apply(middle) if len(hips) else hips
    return smpl_clip(name, fps, pose[:, :3], pose[:, 3:66], pelvis, body, axis, provenance)


def _in_sight(clip: HumanClip, frame_ids: np.ndarray | None, path: Path) -> list[HumanClip]:
    """The stretches of a clip in which a person was seen without a gap."""
    if frame_ids is None:
        return [clip]
    if frame_ids.shape != (len(clip),) or (np.diff(frame_ids) <= 0).any():
        raise MotionError(f"frame_ids of {clip.name} is no rising list of {len(clip)} frames")
    gaps = np.flatnonzero(np.diff(frame_ids) != 1) + 1
    if not len(gaps):
        return [clip]
    first, last = int(frame_ids[gaps[0] - 1]), int(frame_ids[gaps[0]])
    warnings.warn(
        f"{path}: {clip.name}: nobody was seen between frames {first} and {last}: {len(gaps) + 1} clips", stacklevel=4
    )
    edges = [0, *gaps.tolist(), len(clip)]
    return [replace(clip[a:b], name=f"{clip.name}_{int(frame_ids[a])}") for a, b in pairwise(edges)]


def _arrays(values: Mapping, required: tuple[str, ...], where: str) -> dict[str, np.ndarray]:
    """The arrays of numbers under the keys that matter."""
    missing = [key for key in required if key not in values]
    if missing:
        raise MotionError(f"{where} lacks {', '.join(missing)}; it holds {some_of(map(str, values))}")
    wanted = {key: values[key] for key in (*required, "betas", "frame_ids") if key in values}
    for key, value in wanted.items():
        if not isinstance(value, np.ndarray):
            raise MotionError(f"{where}: {key} is {type(value).__name__}, expected an array")
    return {key: numbers(wanted, key) for key in wanted}


def _positions(arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    if arrays[key].ndim != 2 or arrays[key].shape[1] != 3:
        raise MotionError(f"{key} has shape {arrays[key].shape}, expected (frames, 3)")
    return arrays[key]
