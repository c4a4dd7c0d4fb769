from __future__ import annotations

import pytest

from g1_vq_retarget.viewer.player import Player, play, record
from g1_vq_retarget.viewer.scene import Scene, SceneState


class Watcher:
    """A backend that keeps what it is shown, and is closed after so many moments."""

    def __init__(self, moments: int = 0) -> None:
        self.moments = moments
        self.shown: list[SceneState] = []

    @property
    def is_open(self) -> bool:
        return len(self.shown) < self.moments

    def show(self, state: SceneState) -> None:
        self.shown.append(state)


def test_time_passes_at_the_chosen_speed_while_playing(scene: Scene) -> None:
    player = Player(scene, speed=0.5)
    player.advance(0.4)
    assert player.time == pytest.approx(0.2)
    player.playing = False
    player.advance(9.0)
    assert player.time == pytest.approx(0.2)


def test_the_end_is_followed_by_the_start_or_by_rest(scene: Scene) -> None:
    player = Player(scene)
    player.seek(scene.duration)
    player.advance(1 / scene.fps + 0.1)
    assert player.time == pytest.approx(0.1)
    player = Player(scene, loop=False)
    player.advance(99.0)
    assert (player.time, player.playing) == (scene.duration, False)


def test_backwards_ends_at_the_start(scene: Scene) -> None:
    player = Player(scene, speed=-1.0, loop=False)
    player.seek(0.5)
    player.advance(0.2)
    assert player.time == pytest.approx(0.3)
    player.advance(9.0)
    assert (player.time, player.playing) == (0.0, False)


def test_a_step_is_a_frame_and_pauses(scene: Scene) -> None:
    player = Player(scene)
    player.step(3)
    assert (player.state.frame, player.playing) == (3, False)
    player.step(-4)
    assert player.state.frame == scene.frames - 1
    player.loop = False
    player.step(1)
    assert player.state.frame == scene.frames - 1


def test_seeking_stays_within_the_scene(scene: Scene) -> None:
    player = Player(scene)
    for asked, got in ((-5.0, 0.0), (0.7, 0.7), (1e9, scene.duration)):
        player.seek(asked)
        assert player.time == got


def test_playing_shows_until_the_backend_closes(scene: Scene) -> None:
    watcher = Watcher(moments=4)
    play(Player(scene, speed=10.0, loop=False), watcher, rate=500.0)  # a slow machine must not begin again
    times = [state.time for state in watcher.shown]
    assert len(times) == 4
    assert times == sorted(times)
    assert times[-1] > 0


def test_recording_shows_every_moment_once(scene: Scene) -> None:
    watcher = Watcher()
    assert record(scene, watcher, fps=10.0, start=0.5, end=1.5) == 11
    assert [round(state.time, 6) for state in watcher.shown] == [round(0.5 + n / 10, 6) for n in range(11)]
    watcher = Watcher()
    record(scene, watcher, fps=scene.fps)
    assert [state.frame for state in watcher.shown] == list(range(scene.frames))
