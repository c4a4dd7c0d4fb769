"""MotionVQVAE's NPY: several clips of one robot in one array, a row a frame, without names.

Columns: time (s), root position x y z (m), root quaternion w x y z, joint angles (rad), transition flag. A clip ends
where the flag falls from 1 to 0: the row with 0 begins the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from g1_vq_retarget.files import existing_file, replacing, sha256_of
from g1_vq_retarget.motion.clip import MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.formats.npz import read_array, refusing_damage

# Time steps may differ from one another, and the rates of clips, by this much of them.
_RATE_TOLERANCE = 0.01
_COLUMNS_BESIDE_JOINTS = 9


def read_motionvqvae_npy(
    path: str | Path, *, joint_names: Sequence[str] | None = None, licence: str = ""
) -> list[RobotClip]:
    """Read the clips of a file, in its order.

    Args:
        path: the file.
        joint_names: names of the joints, in the order of the columns; joint_00, joint_01, … if not given.
        licence: licence of the motion, for its provenance.

    Returns:
        Clips at one rate, from the mean time step; named `<stem>_<k>`, or `<stem>` if there is one.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: not an array of such rows, another number of joints than names, uneven time steps, clips of
            different rates or of a single frame, a quaternion that is none.
    """
    path = existing_file(path)
    with naming(path):
        table, grain = _table(path)
        joints = table.shape[1] - _COLUMNS_BESIDE_JOINTS
        names = [f"joint_{joint:02d}" for joint in range(joints)] if joint_names is None else joint_names
        if len(names) != joints:
            raise MotionError(f"has {joints} joints, expected {len(names)}: {', '.join(names)}")
        flag = table[:, -1]
        bounds = [0, *(np.flatnonzero((flag[:-1] == 1) & (flag[1:] == 0)) + 1), len(table)]
        fps = _rate(table[:, 0], bounds, grain)
        whole = RobotClip(
            name=path.stem,
            fps=fps,
            root_pos_w=table[:, 1:4],
            root_quat_w=table[:, 4:8],
            joint_names=tuple(names),
            joint_pos=table[:, 8:-1],
            provenance=Provenance(path.name, sha256_of(path), licence),
        )
        clips = [whole[start:end] for start, end in pairwise(bounds)]
    if len(clips) == 1:
        return clips
    return [replace(clip, name=f"{clip.name}_{number}") for number, clip in enumerate(clips)]


def write_motionvqvae_npy(clips: Sequence[RobotClip], path: str | Path) -> None:
    """Write clips of the same joints and rate, in float64; the file tells no joint names.

    Time goes on from clip to clip, and the flag is 1 on the last frame of each.

    Raises:
        MotionError: no clips, clips of different joints or rates, or one of a single frame, which tells no rate.
        UserError: the file cannot be written.
    """
    if not clips:
        raise MotionError("no clips to write")
    first, rows = clips[0], []
    for clip in clips:
        if clip.joint_names != first.joint_names or clip.fps != first.fps:
            raise MotionError(
                f"clips {first.name!r} and {clip.name!r} differ in joints or rate: write files of one kind"
            )
        if len(clip) == 1:
            raise MotionError(f"clip {clip.name!r} is a single frame, which tells no rate")
        time = (sum(map(len, rows)) + np.arange(len(clip))) / clip.fps
        flag = np.arange(len(clip)) == len(clip) - 1
        rows.append(np.column_stack([time, clip.root_pos_w, clip.root_quat_w, clip.joint_pos, flag]))
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate(rows), allow_pickle=False)


def _table(path: Path) -> tuple[np.ndarray, float]:
    """The rows as finite float64, and the fineness (s) to which the file's numbers can tell its times."""
    with refusing_damage("a whole NPY of plain numbers"), path.open("rb") as file:
        table = read_array(file, path.stat().st_size)
    if table.dtype.kind != "f":
        raise MotionError("not an NPY of floating-point numbers")
    if table.ndim != 2 or table.shape[1] <= _COLUMNS_BESIDE_JOINTS:
        raise MotionError(
            f"holds an array {table.shape}, expected (frames, {_COLUMNS_BESIDE_JOINTS} + joints): "
            "time, position x y z, quaternion w x y z, joint angles, transition flag"
        )
    if len(table) == 0:
        raise MotionError("the motion has no frames")
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        row, column = wrong[0]
        raise MotionError(f"row {row}, column {column} holds {table[row, column]}, expected a finite number")
    odd = np.flatnonzero((table[:, -1] != 0) & (table[:, -1] != 1))
    if len(odd):
        raise MotionError(f"the transition flag is {table[odd[0], -1]:g} at row {odd[0]}, expected 0 or 1")
    return table.astype(float), float(np.spacing(np.abs(table[:, 0]).max()))


def _rate(time: np.ndarray, bounds: list[int], grain: float) -> float:
    """Frames a second of the time steps inside all clips."""
    means = []
    for start, end in pairwise(bounds):
        steps = np.diff(time[start:end])
        if len(steps) == 0:
            raise MotionError(f"the clip at row {start} is a single frame, which tells no rate")
        usual = float(np.median(steps))
        if usual <= 0:
            raise MotionError(f"time does not advance after row {start}: the step is {usual:g} s")
        uneven = np.abs(steps - usual)
        worst = int(np.argmax(uneven))
        if uneven[worst] > _RATE_TOLERANCE * usual + grain:
            raise MotionError(
                f"the time step before row {start + worst + 1} is {steps[worst]:.4g} s, elsewhere {usual:.4g} s: "
                "expected even steps, and the flag to fall where a clip ends"
            )
        means.append(steps.mean())
        if abs(means[-1] / means[0] - 1) > _RATE_TOLERANCE:
            raise MotionError(
                f"clips of different rates: {1 / means[0]:.4g} fps at row 0, {1 / means[-1]:.4g} fps at row {start}; "
                "write a file for each rate"
            )
    # six digits, since times in float32 tell no more
    return float(f"{1 / np.average(means, weights=np.diff(bounds) - 1):.6g}")
