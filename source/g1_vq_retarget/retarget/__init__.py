"""A trained model in, robot motion out."""

from g1_vq_retarget.retarget.retargeter import Held, Retargeted, Retargeter
from g1_vq_retarget.retarget.tokens import MotionTokens

__all__ = ["Held", "MotionTokens", "Retargeted", "Retargeter"]
