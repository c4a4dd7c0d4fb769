from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("viser")
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.viewer.nodes import Look
from g1_vq_retarget.viewer.page import write_page
from g1_vq_retarget.viewer.player import Player
from g1_vq_retarget.viewer.scene import Scene
from g1_vq_retarget.viewer.timeline import cursor_share
from g1_vq_retarget.viewer.web import WebPage, start_server
from running import SCRIPTS
from synthetic import human_clip, robot_clip
from viewer_browser import Page, browse

BUTTON = "[...document.querySelectorAll('button')].find(button => button.textContent.trim() === '{}')"
TIME = "Number([...document.querySelectorAll('input')].find(input => input.className.includes('NumberInput'))?.value)"


def test_a_taken_port_gives_way_to_the_next() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = start_server("127.0.0.1", port)
        try:
            assert port < server.get_port() < port + 20
        finally:
            server.stop()


@pytest.mark.parametrize(
    ("host", "port", "told"), [("127.0.0.1", -1, "--port -1"), ("203.0.113.7", 8080, "--host 203.0.113.7")]
)
def test_ports_and_hosts_that_cannot_be_are_told(host: str, port: int, told: str) -> None:
    with pytest.raises(UserError, match=told):
        start_server(host, port)


def test_the_page_shows_the_moment_of_the_clock(scene: Scene) -> None:
    player = Player(scene)
    page = WebPage(start_server("127.0.0.1", 0), player, "capsules")
    try:
        assert page.address == f"http://localhost:{page.server.get_port()}"
        player.seek(0.8)
        page.show(player.state)
        handle = page.server.scene.get_handle_by_name("/scene/truth/pelvis")
        shift = scene.offsets(40)["truth"] - [*scene.centre[40], 0.0]
        np.testing.assert_allclose(handle.position, scene.figures[1].pos[40, 0] + shift, atol=1e-4)
    finally:
        page.close()
    assert not page.is_open


@pytest.fixture
def live(weights: Path, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """The script at work on a folder of two clips, and its address."""
    for seed, name in enumerate(("dance", "walk")):
        save_motion(human_clip(120, seed, name=name), tmp_path / "human" / f"{name}.npz")
        save_motion(robot_clip(120, seed, name=name), tmp_path / "g1" / f"{name}.npz")
    command = [sys.executable, SCRIPTS / "play_triple_view.py", "--checkpoint", weights.parent, "--data", tmp_path]
    run = subprocess.Popen(
        [*map(str, command), "--port", "8310", "--shape", "capsules"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert run.stdout is not None
        said, found = "", None
        while found is None:
            line = run.stdout.readline()
            said += line
            assert line, said
            found = re.search(r"http://\S+", line)
        yield found[0], run
    finally:
        run.kill()


@pytest.mark.slow
def test_the_live_page_plays_in_a_browser(live: tuple[str, subprocess.Popen]) -> None:
    address, run = live
    with browse(address) as page:
        page.wait_for("document.body?.innerText?.includes('mm off')")
        assert_moves(page, TIME)
        assert page.evaluate("document.querySelectorAll('canvas').length") > 0
        page.evaluate(f"{BUTTON.format('Pause')}.click()")
        page.wait_for(f"{BUTTON.format('Play')} !== undefined")
        before = page.evaluate(TIME)
        page.evaluate(f"{BUTTON.format('+ frame')}.click()")
        page.wait_for(f"Math.abs({TIME} - {before} - 0.02) < 1e-3")
        # another clip
        page.evaluate("[...document.querySelectorAll('input')].find(input => input.value === 'dance').click()")
        page.wait_for("document.querySelectorAll('[role=option]').length > 0")
        page.evaluate("[...document.querySelectorAll('[role=option]')].find(o => o.textContent === 'walk').click()")
        page.wait_for(f"{TIME} === 0")
        assert page.errors == []
    run.send_signal(signal.SIGINT)
    assert run.wait(120) == 0


@pytest.mark.slow
def test_the_page_plays_from_disk_without_a_network(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "page & more.html"
    write_page(path, scene, "capsules", Look())
    with browse(path.as_uri()) as page:
        page.wait_for("window.tripleViewTime !== undefined")
        assert_moves(page, "window.tripleViewTime")
        # the time line leads to a moment, and the cursor stands there
        page.evaluate(
            "(() => { const box = document.getElementById('timeline').getBoundingClientRect();"
            f"const x = box.left + box.width * {cursor_share(scene, 1.2)};"
            "document.getElementById('timeline').dispatchEvent(new MouseEvent('click', {clientX: x})); })()"
        )
        page.wait_for("Math.abs(window.tripleViewTime - 1.2) < 0.02")
        share = page.wait_for("parseFloat(document.getElementById('cursor').style.left) / 100")
        assert share == pytest.approx(cursor_share(scene, page.evaluate("window.tripleViewTime")), abs=2e-3)
        curve = scene.models[0].error_curve_mm
        assert curve is not None
        frame = round(page.evaluate("window.tripleViewTime") * scene.fps)
        assert page.evaluate("document.getElementById('model_1').textContent") == f"{curve[frame]:.0f} mm off"
        tokens = scene.models[0].tokens
        assert tokens is not None
        codes = " ".join(map(str, tokens.tokens[int(1.2 / scene.models[0].token_seconds)]))
        assert page.evaluate("document.querySelector('.codes').textContent").endswith(f": {codes}")
        assert page.errors == []
        assert [address for address in page.requests if not address.startswith(("data:", "blob:"))] == [path.as_uri()]


def assert_moves(page: Page, time: str) -> None:
    """Time passes, the picture is not of one colour, and it changes."""
    start = page.evaluate(time)
    first = page.picture()
    page.wait_for(f"{time} !== {start}")
    page.wait_for(f"Math.abs({time} - {start}) > 0.3")
    second = page.picture()
    for picture in (first, second):
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    middle = (slice(100, 400), slice(200, 800))  # where the figures are
    assert (first[middle] != second[middle]).any(axis=-1).mean() > 0.005
