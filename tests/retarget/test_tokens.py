from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.retarget import MotionTokens, Retargeter
from synthetic import human_clip


@pytest.fixture
def tokens(retargeter: Retargeter) -> MotionTokens:
    return retargeter.encode(human_clip(70, 2, name="dance"))


def stored(tokens: MotionTokens, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The file of tokens with its arrays (meta as a dictionary) changed."""
    tokens.save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["meta"] = json.loads(str(arrays["meta"]))
    change(arrays)
    arrays["meta"] = np.array(json.dumps(arrays["meta"]))
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


def in_meta(**changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays["meta"].update(changes)


def test_tokens_come_back_from_their_file(tokens: MotionTokens, tmp_path: Path) -> None:
    tokens.save(tmp_path / "new" / "dance.npz")
    again = MotionTokens.load(tmp_path / "new" / "dance.npz")
    np.testing.assert_array_equal(again.tokens, tokens.tokens)
    for name in ("name", "codebook_sizes", "frames", "fps", "start", "weights_sha256", "source", "licence"):
        assert getattr(again, name) == getattr(tokens, name), name
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["dance.npz"]


def test_the_file_is_taken_as_it_is_named(tokens: MotionTokens, tmp_path: Path) -> None:
    tokens.save(tmp_path / "dance.tokens")
    assert MotionTokens.load(tmp_path / "dance.tokens").frames == tokens.frames


def test_tokens_tell_their_origin(tokens: MotionTokens) -> None:
    assert tokens.name == "dance"
    assert tokens.source == "dance.bvh"
    assert tokens.licence == "CC0 human; CC0 robot"


def test_bits_are_those_of_all_steps(tokens: MotionTokens) -> None:
    # 70 frames at 30 fps are 115 at 50 fps, 29 steps of 4
    assert tokens.tokens.shape == (29, 4)
    assert tokens.bits == pytest.approx(29 * np.log2([20, 3, 8, 8]).sum())


@pytest.mark.parametrize("share", [0.001, 0.02, 0.5, 0.99])
def test_a_file_cut_short_is_refused(share: float, tokens: MotionTokens, tmp_path: Path) -> None:
    path = tmp_path / "cut.npz"
    tokens.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: max(1, int(share * len(content)))])
    with pytest.raises(UserError, match=r"cut\.npz: not a whole token file"):
        MotionTokens.load(path)


def test_a_spoiled_file_is_refused(tokens: MotionTokens, tmp_path: Path) -> None:
    path = tmp_path / "spoiled.npz"
    tokens.save(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"spoiled\.npz: not a whole token file"):
        MotionTokens.load(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (in_meta(format="poems"), "another version"),
        (in_meta(format_version=99), "another version"),
        (lambda arrays: arrays["meta"].pop("format"), "not a whole token file"),
        (lambda arrays: arrays["meta"].pop("start"), "not a whole token file"),
        (in_meta(mood="merry"), "not a whole token file"),
        (lambda arrays: arrays.pop("tokens"), "not a whole token file"),
        (lambda arrays: arrays.update(tokens=arrays["tokens"] + 0.5), r"integers"),
        (lambda arrays: arrays.update(tokens=arrays["tokens"][:, :3]), r"integers \(steps, 4\)"),
        (lambda arrays: arrays.update(tokens=arrays["tokens"][:, 0]), r"integers \(steps, 4\)"),
        (lambda arrays: arrays.update(tokens=arrays["tokens"] + 8), r"outside its vocabulary"),
        (lambda arrays: arrays.update(tokens=arrays["tokens"] - 20), r"outside its vocabulary"),
        (lambda arrays: arrays.update(tokens=arrays["tokens"].astype(object)), "not a whole token file"),
    ],
)  # fmt: skip
def test_what_is_no_token_file_is_refused_by_name(
    change: Callable[[dict[str, Any]], None], told: str, tokens: MotionTokens, tmp_path: Path
) -> None:
    path = stored(tokens, tmp_path / "odd.npz", change)
    with pytest.raises(UserError, match=rf"odd\.npz: .*{told}"):
        MotionTokens.load(path)


def test_nothing_and_empty_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.npz").touch()
    for name, told in (("gone.npz", "no such file"), ("empty.npz", "is empty")):
        with pytest.raises(UserError, match=rf"{name}.*{told}".replace(".npz", r"\.npz")):
            MotionTokens.load(tmp_path / name)
