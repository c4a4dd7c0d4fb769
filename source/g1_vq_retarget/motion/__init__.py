"""What a motion is: clips with names, rates and origins; time, rotations, the root stream, mirroring."""

from g1_vq_retarget.motion.clip import Clip, HumanClip, MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.mirror import mirror
from g1_vq_retarget.motion.root import (
    ROOT_FEATURES,
    Orientation,
    integrate_root,
    path_length,
    root_columns,
    root_features,
)
from g1_vq_retarget.motion.time import resample, resampled_length

__all__ = [
    "ROOT_FEATURES",
    "Clip",
    "HumanClip",
    "MotionError",
    "Orientation",
    "Provenance",
    "RobotClip",
    "integrate_root",
    "mirror",
    "path_length",
    "resample",
    "resampled_length",
    "root_columns",
    "root_features",
]
