from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("viser")
from g1_vq_retarget.motion.formats import save_motion
from running import run_script
from synthetic import human_clip, robot_clip


@pytest.fixture(scope="module")
def human(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "human.npz"
    save_motion(human_clip(30, 0), path)
    return path


def test_a_page_is_written_whole_and_holds_what_it_shows(
    human: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference, page = tmp_path / "robot.npz", tmp_path / "out" / "page.html"
    save_motion(robot_clip(30, 0), reference)
    arguments = ("--checkpoint", weights.parent, "--input", human, "--reference", reference, "--shape", "capsules")
    done = run_script("play_triple_view", (*arguments, "--html", page), capsys)
    assert done.code == 0, done.err
    assert str(page) in done.out
    text = page.read_text(encoding="utf-8")
    assert "__VISER_EMBED_DATA__" in text
    assert "ground truth" in text
    assert "CC0 human" in text
    assert list(page.parent.iterdir()) == [page]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--checkpoint is needed"),
        (("--checkpoint", "RUN"), "--input or"),
        (("--checkpoint", "RUN", "--input", "HUMAN", "--data", "."), "--input or"),
        (("--checkpoint", "RUN", "--data", ".", "--reference", "HUMAN"), "--reference belongs to --input"),
        (("--checkpoint", "RUN", "--input", "HUMAN", "--clip", "walk"), "--clip is a name in --data"),
        (("--checkpoint", "absent", "--input", "HUMAN"), "absent"),
        (("--checkpoint", "RUN", "--input", "absent.bvh"), "absent.bvh"),
        (("--checkpoint", "RUN", "--input", "HUMAN", "--reference", "absent.csv"), "absent.csv"),
        (tuple(part for number in range(5) for part in ("--checkpoint", number)) + ("--input", "HUMAN"), "one to 4"),
        (("--checkpoint", "RUN", "--input", "HUMAN", "--port", "70000"), "--port 70000"),
        (("--checkpoint", "RUN", "--input", "HUMAN", "--host", "203.0.113.7"), "--host 203.0.113.7"),
    ],
)
def test_mistakes_are_told_in_a_line(
    human: Path, weights: Path, arguments: tuple, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"RUN": weights.parent, "HUMAN": human}
    done = run_script("play_triple_view", tuple(known.get(part, part) for part in arguments), capsys)
    assert done.code == 2
    assert told in done.err
    assert done.err.count("\n") == 1
