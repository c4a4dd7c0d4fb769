"""The live triple view: a page with the scene, a clock's controls and the scene's time line."""

from __future__ import annotations

import errno
import html
import io
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from queue import SimpleQueue
from typing import Any

import numpy as np

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.viewer.nodes import WORST_MM, Look, SceneNodes, shade
from g1_vq_retarget.viewer.player import Player, play
from g1_vq_retarget.viewer.scene import Figure, Scene, SceneState
from g1_vq_retarget.viewer.shapes import Shape, link_meshes
from g1_vq_retarget.viewer.timeline import cursor_share, png_uri, svg_aspect, timeline_svg, token_colours

SPEEDS = ("0.1", "0.25", "0.5", "1", "2", "4")
# The first of so many ports from the one asked for that is free is taken.
PORTS = 20
# The controls keep up this many times a second; the figures are as quick as they can be.
CONTROLS_PER_SECOND = 10.0
# Steps of tokens before and after the present one in the strip that shows them large.
STRIP_STEPS = 12
_PANEL_WIDTH = 430
_LAYOUTS = ("side by side", "upon one another")
_SWITCHES = (
    ("together", "Keep together", "Take out the slow drift of each model's place on the ground"),
    ("follow", "Follow", "The view goes along with the figures"),
    ("errors", "Error as colour", "Redden each link by its distance from the true robot's, in the pelvis frame"),
    ("contacts", "Foot contacts", "A disc under each foot that touches the floor"),
    ("labels", "Labels", "Names above the figures"),
)


def start_server(host: str, port: int) -> Any:
    """A viser server on a port or, if it is taken, on the next free one; on any for port 0.

    Args:
        host: address to listen at: "127.0.0.1" for this machine alone, "0.0.0.0" for all that can reach it.

    Raises:
        UserError: viser is not installed, there is no such port or host, or no port is free.
    """
    try:
        import viser
    except ImportError as error:
        raise UserError(f"the page needs {error.name}: pip install -e '.[viewer]'") from error
    if not 0 <= port < 65536:
        raise UserError(f"--port {port}: there is no such port; take one from 1024 to 65535")
    chosen = next((number for number in range(port, min(port + PORTS, 65536)) if _is_free(host, number)), None)
    if chosen is None:
        raise UserError(f"--port {port}: it and the {PORTS - 1} after it are taken; choose another")
    with redirect_stdout(io.StringIO()):  # it prints a box
        server = viser.ViserServer(host=host, port=chosen, label="Triple view", verbose=False)
    server.gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
    server.scene.set_up_direction("+z")
    return server


class WebPage:
    """Live backend: the scene on a viser server, with controls that turn a player's clock.

    Args:
        server: from `start_server`.
        player: the clock; its scene is shown.
        shape: what links look like.
        look: how the scene is shown at first.
        clips: names to choose from; `load` makes the scene of one. The first is the player's scene.
        load: see there; a UserError is shown on the page.
    """

    def __init__(
        self,
        server: Any,
        player: Player,
        shape: Shape = "auto",
        look: Look | None = None,
        clips: Sequence[str] = (),
        load: Callable[[str], Scene] | None = None,
    ) -> None:
        self.server = server
        self.player = player
        self.look = look or Look()
        self.is_open = True
        self.meshes = link_meshes(player.scene.robot, shape)
        # what people ask for: viser calls from threads of its own, `show` obeys in the caller's
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._controls_due = 0.0
        self._add_controls(clips, load)
        self._open_scene(player.scene)

    @property
    def address(self) -> str:
        """Where a browser finds the page: on this machine, unless the host that was asked for is another address."""
        host = self.server.get_host()
        return f"http://{'localhost' if host in ('0.0.0.0', '127.0.0.1', '') else host}:{self.server.get_port()}"

    def show(self, state: SceneState) -> None:
        """Do what was asked for on the page, move the figures and, some times a second, the controls."""
        while not self._asked.empty():
            self._asked.get()()
            state = self.player.state
        self.nodes.show(state)
        now = time.monotonic()
        if now >= self._controls_due:
            self._controls_due = now + 1 / CONTROLS_PER_SECOND
            self._show_controls(state)

    def close(self) -> None:
        """Stop the server."""
        self.is_open = False
        with redirect_stdout(io.StringIO()):  # it tells that it stopped
            self.server.stop()

    def _add_controls(self, clips: Sequence[str], load: Callable[[str], Scene] | None) -> None:
        gui = self.server.gui
        gui.main_panel.dock_right()
        gui.main_panel.set_width(_PANEL_WIDTH)
        if load is not None:
            chosen = gui.add_dropdown("Clip", tuple(clips), initial_value=clips[0])
            self._on(chosen, lambda: self._change_scene(load, chosen.value))
        self._figures = gui.add_html("")
        player = self.player
        with gui.add_folder("Playback"):
            self._time = gui.add_slider("Time, s", 0.0, 1.0, step=0.01, initial_value=0.0)
            self._on(self._time, lambda: player.seek(self._time.value))
            self._play = gui.add_button("Pause")
            self._on(self._play, lambda: setattr(player, "playing", not player.playing))
            steps = {"start": lambda: player.seek(0.0), "− frame": lambda: player.step(-1)}
            steps |= {"+ frame": lambda: player.step(1), "end": lambda: player.seek(player.scene.duration)}
            group = gui.add_button_group("Step", tuple(steps))
            self._on(group, lambda: steps[group.value]())
            speed = gui.add_dropdown("Speed", SPEEDS, initial_value=f"{player.speed:g}")
            self._on(speed, lambda: setattr(player, "speed", float(speed.value)))
            loop = gui.add_checkbox("Loop", player.loop)
            self._on(loop, lambda: setattr(player, "loop", loop.value))
        self._timeline = gui.add_html("")
        self._cursor = gui.add_html("")
        self._tokens = gui.add_html("")
        with gui.add_folder("View"):
            layout = gui.add_dropdown("Figures", _LAYOUTS, initial_value=_LAYOUTS[self.look.overlay])
            self._on(layout, lambda: setattr(self.look, "overlay", layout.value == _LAYOUTS[True]))
            for field, label, hint in _SWITCHES:
                box = gui.add_checkbox(label, getattr(self.look, field), hint=hint)
                self._on(box, lambda box=box, field=field: setattr(self.look, field, box.value))

    def _on(self, control: Any, act: Callable[[], None]) -> None:
        """Do something when a person, and not this program, uses a control."""

        def ask(event: Any) -> None:
            if event.client is not None:
                self._asked.put(act)

        (control.on_click if hasattr(control, "on_click") else control.on_update)(ask)

    def _change_scene(self, load: Callable[[str], Scene], name: str) -> None:
        try:
            scene = load(name)
        except UserError as error:
            for client in self.server.get_clients().values():
                client.add_notification("This clip cannot be shown", str(error), color="red")
            return
        self.nodes.remove()
        self.player.scene = scene
        self.player.seek(0.0)
        self._open_scene(scene)

    def _open_scene(self, scene: Scene) -> None:
        self.nodes = SceneNodes(self.server, scene, self.meshes, self.look)
        self._time.max = max(scene.duration, 1 / scene.fps)
        self._time.step = 1 / scene.fps
        svg = timeline_svg(scene, width=5.5)
        self._timeline.content = svg.replace("<svg ", '<svg style="width:100%;height:auto;display:block" ', 1)
        self._aspect = svg_aspect(svg)

    def _show_controls(self, state: SceneState) -> None:
        scene = self.player.scene
        self._time.value = state.time
        self._play.label = "Pause" if self.player.playing else "Play"
        lines = [_figure_line(figure, state) for figure in scene.figures]
        self._figures.content = f"<div style='font-size:0.85em;padding:0.3em 0.8em'>{''.join(lines)}</div>"
        # laid over the drawing, which stands before it and is as wide
        self._cursor.content = (
            "<div style='position:relative;height:0;pointer-events:none'>"
            f"<div style='position:absolute;left:0;right:0;bottom:0;aspect-ratio:{self._aspect:.4f}'>"
            f"<div style='position:absolute;left:{100 * cursor_share(scene, state.time):.2f}%;height:94%;width:2px;"
            "background:#d00'></div></div></div>"
        )
        strips = [_token_strip(figure, state.time) for figure in scene.models]
        self._tokens.content = f"<div style='padding:0 0.8em'>{''.join(strips)}</div>"


def serve(page: WebPage, player: Player) -> None:
    """Tell the page's address and play until it is closed or Ctrl-C, then close it."""
    try:
        print(f"{page.address} shows {player.scene.name}; Ctrl-C ends it", flush=True)
        play(player, page)
    except KeyboardInterrupt:
        print("ended")
    finally:
        page.close()


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (socket.gaierror, TypeError) as error:  # the latter for what can be no name
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"--host {host}: no address of this machine ({reason}); take 127.0.0.1") from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise UserError(f"--host {host}: no address of this machine; take 127.0.0.1 or 0.0.0.0") from error
            return False
        return True


def _figure_line(figure: Figure, state: SceneState) -> str:
    """Name and colour of a figure; for a model, how far off it is now."""
    told = html.escape(figure.label)
    error = state.figures[figure.name].error_mm
    if error is not None:
        shades = ", ".join(f"rgb{shade(figure, value)}" for value in (0, WORST_MM))
        told += (
            f": {error[1:].mean():.0f} mm off <span style='float:right'>0 <span style='display:inline-block;width:5em;"
            f"height:0.7em;background:linear-gradient(90deg, {shades})'></span> {WORST_MM:.0f} mm</span>"
        )
    return f"<div><span style='color:{figure.colour}'>⬤</span> {told}</div>"


def _token_strip(figure: Figure, seconds: float) -> str:
    """The tokens around a time as a picture, a row a level, the present step in the middle."""
    assert figure.tokens is not None
    tokens = figure.tokens.tokens
    here = min(int(seconds / figure.token_seconds), len(tokens) - 1)
    steps = here + np.arange(-STRIP_STEPS, STRIP_STEPS + 1)
    colours = token_colours(tokens[steps.clip(0, len(tokens) - 1)])
    colours[:, (steps < 0) | (steps >= len(tokens))] = 1.0
    return (
        f"<div style='font-size:0.75em;color:{figure.colour};margin-top:0.4em'>tokens of {html.escape(figure.label)}, "
        f"{STRIP_STEPS * figure.token_seconds:.1f} s before and after</div>"
        f"<div style='position:relative'><img src='{png_uri(colours)}' style='width:100%;height:5em;display:block;"
        "image-rendering:pixelated'><div style='position:absolute;top:0;bottom:0;box-sizing:border-box;border:2px "
        f"solid #000;left:{100 * STRIP_STEPS / len(steps):.2f}%;width:{100 / len(steps):.2f}%'></div></div>"
    )
