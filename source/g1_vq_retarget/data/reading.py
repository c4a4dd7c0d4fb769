"""What a user may have to say about motion files, as flags that commands have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.formats import JointOrder, QuatOrder, ReadOptions, Unit, UpAxis


@dataclass
class Reading:
    """What files leave open and their contents do not settle."""

    source_fps: float | None = None
    """Rate of files that tell none, such as a CSV (30 if not given); those that tell theirs must agree with it."""
    joint_order: JointOrder | None = None
    """Order of the joints' columns, where neither names nor evidence settle it."""
    quat_order: QuatOrder | None = None
    """Order of the quaternions' components, where evidence does not settle it."""
    bvh_up: Annotated[UpAxis | None, tyro.conf.arg(aliases=("--up",))] = None
    """Up axis of a BVH or of SMPL parameters, where the motion itself does not settle it."""
    bvh_unit: Annotated[Unit | None, tyro.conf.arg(aliases=("--unit",))] = None
    """Unit of a BVH, where the length of the legs does not settle it."""
    smpl_model: Path | None = None
    """Body model that SMPL parameters belong to, for a body's lengths as they are and not as they are on average."""
    licence: str = ""
    """Licence of the motion, for files that do not tell theirs."""

    def options(self) -> ReadOptions:
        """As `load_motion` takes them. Raises UserError for a rate that cannot be."""
        if self.source_fps is not None and not (math.isfinite(self.source_fps) and self.source_fps > 0):
            raise UserError(f"--source-fps must be a positive number, it is {self.source_fps:g}")
        return ReadOptions(
            fps=self.source_fps,
            joint_order=self.joint_order,
            quat_order=self.quat_order,
            up=self.bvh_up,
            unit=self.bvh_unit,
            smpl_model=self.smpl_model,
            licence=self.licence,
        )
