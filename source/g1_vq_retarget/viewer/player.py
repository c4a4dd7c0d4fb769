"""The clock of a triple view, and what a backend is: something that shows a moment of a scene."""

from __future__ import annotations

import time
from typing import Protocol

from g1_vq_retarget.viewer.scene import Scene, SceneState


class Player:
    """Time in a scene: play, pause, step, speed, loop.

    Attributes:
        scene: what is played.
        time: s, within the scene.
        playing: whether time passes.
        speed: seconds of the scene a second; negative plays backwards.
        loop: whether the end is followed by the start; if not, the clock stops there.
    """

    def __init__(self, scene: Scene, *, playing: bool = True, speed: float = 1.0, loop: bool = True) -> None:
        self.scene = scene
        self.time = 0.0
        self.playing = playing
        self.speed = speed
        self.loop = loop

    @property
    def state(self) -> SceneState:
        """All figures now."""
        return self.scene.at(self.time)

    def advance(self, seconds: float) -> None:
        """Let time pass, if playing. A loop lasts a frame more than the scene: its last frame is shown, too."""
        if not self.playing:
            return
        moved, end = self.time + self.speed * seconds, self.scene.duration
        if 0 <= moved <= end:
            self.time = moved
        elif self.loop:
            moved %= end + 1 / self.scene.fps
            self.time = min(moved, end)
        else:
            self.seek(moved)
            self.playing = False

    def seek(self, seconds: float) -> None:
        """Go to a time; before the start is the start, behind the end the end."""
        self.time = min(max(seconds, 0.0), self.scene.duration)

    def step(self, frames: int) -> None:
        """Pause, and go some frames on or back, round the ends if looping."""
        self.playing = False
        frame = self.scene.frame_at(self.time) + frames
        if self.loop:
            frame %= self.scene.frames
        self.seek(frame / self.scene.fps)


class Backend(Protocol):
    """What shows a scene. It is made for a scene and told the moments."""

    def show(self, state: SceneState) -> None:
        """Show all figures as they are at one moment."""
        ...


class LiveBackend(Backend, Protocol):
    """A backend that people watch, until they close it."""

    @property
    def is_open(self) -> bool:
        """Whether anybody can still watch."""
        ...


def play(player: Player, backend: LiveBackend, rate: float = 30.0) -> None:
    """Show a scene as its clock goes, `rate` times a second or as often as can be, while the backend is open."""
    before = time.monotonic()
    while backend.is_open:
        now = time.monotonic()
        player.advance(now - before)
        before, scene = now, player.scene
        backend.show(player.state)
        if player.scene is not scene:  # the time that another one took to load is not its own
            before = time.monotonic()
        time.sleep(max(0.0, 1 / rate - (time.monotonic() - now)))


def record(scene: Scene, backend: Backend, fps: float, start: float = 0.0, end: float | None = None) -> int:
    """Show the moments start, start + 1/fps, … up to `end` (s, by default the scene's), whatever time that takes.

    Returns:
        How many there were.
    """
    end = scene.duration if end is None else min(end, scene.duration)
    frames = int((end - start) * fps + 1e-6) + 1
    for frame in range(frames):
        backend.show(scene.at(start + frame / fps))
    return frames
