"""The triple view: human, ground truth and models side by side, in a browser, a page or a video."""

from g1_vq_retarget.viewer.player import Backend, LiveBackend, Player, play, record
from g1_vq_retarget.viewer.scene import Figure, FigureState, Scene, SceneState, build_scene

__all__ = [
    "Backend",
    "Figure",
    "FigureState",
    "LiveBackend",
    "Player",
    "Scene",
    "SceneState",
    "build_scene",
    "play",
    "record",
]
