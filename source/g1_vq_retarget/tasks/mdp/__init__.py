"""Tracking as a Markov decision process: rewards, terminations and observations as functions of tensors.

They are those of BeyondMimic (Liao et al. 2025, arXiv:2508.08241; whole_body_tracking), by their names there; mjlab's
tracking task is a re-implementation of it. All quaternions are w x y z; `_w` is the world's frame, `_b` the robot's.
N environments come first, bodies, where there are several, second.
"""

from g1_vq_retarget.tasks.mdp.frames import relative_body_poses
from g1_vq_retarget.tasks.mdp.presets import BEYONDMIMIC, MJLAB, Preset

__all__ = ["BEYONDMIMIC", "MJLAB", "Preset", "relative_body_poses"]
