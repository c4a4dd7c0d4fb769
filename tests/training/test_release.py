"""From a hub to a folder that may be passed on: `train_release.py`, on a stand-in with made-up clips."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.data.download import MANIFEST
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.g1_moves import load_pairs, split_by_name
from g1_vq_retarget.data.process import WindowConfig
from g1_vq_retarget.data.sources import SOURCES
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import sha256_of
from g1_vq_retarget.motion.formats import save_motion
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.training.checkpoint import load_checkpoint
from g1_vq_retarget.training.release import shareable_source, train_release, write_release
from hubs import COMMIT, Hub, serving
from running import Outcome, run_script
from synthetic import human_clip, robot_clip, tiny_training, write_bvh

SOURCE = SOURCES["g1_moves"]
FRAMES = 100
TINY = """
label: tiny
epochs: 2
batch_size: 16
pairs: 4
model:
  network: {latent_dim: 8, width: 16, depth: 1, downsample: 4, smoothing: 4}
  quantizer: {kind: hybrid, fsq_levels: [[5, 4], [3]], levels: 2, codebook_size: 8, kmeans_iters: 3}
"""


def write_pair(folder: Path, name: str, seed: int, frames: int = FRAMES, robot_frames: int = FRAMES) -> None:
    """A clip as G1 Moves has it: `dance/NAME/capture/NAME.bvh` and `dance/NAME/retarget/NAME.csv`, 60 fps."""
    clip = folder / "dance" / name
    (clip / "capture").mkdir(parents=True)
    write_bvh(human_clip(frames, seed, fps=60.0), clip / "capture" / f"{name}.bvh")
    save_motion(robot_clip(robot_frames, seed, fps=60.0), clip / "retarget" / f"{name}.csv", "csv")


@pytest.fixture(scope="module")
def moves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pairs, one of two lengths, one robot motion without motion capture."""
    folder = tmp_path_factory.mktemp("moves")
    for seed, name in enumerate(["Salsa", "Woah", "Shuffle", "Chops", "Bow"]):
        write_pair(folder, name, seed)
    write_pair(folder, "Short", 7, robot_frames=FRAMES - 1)
    write_pair(folder, "FromVideo", 8)
    shutil.rmtree(folder / "dance" / "FromVideo" / "capture")
    (folder / "README.md").write_text("# G1 Moves")
    return folder


@pytest.fixture
def hub(moves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    files = {path.relative_to(moves).as_posix(): path.read_bytes() for path in moves.rglob("*") if path.is_file()}
    with serving(Hub(SOURCE.repo, files)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def data(moves: Path, tmp_path: Path) -> Path:
    """The same, as a download."""
    folder = shutil.copytree(moves, tmp_path / "moves")
    files = [{"path": str(path.relative_to(folder)), "size": path.stat().st_size, "sha256": sha256_of(path)}
             for path in folder.rglob("*") if path.is_file()]  # fmt: skip
    manifest = {"format_version": 1, "source": "g1_moves", "licence": SOURCE.licence, "revision": COMMIT}
    (folder / MANIFEST).write_text(json.dumps(manifest | {"files": files}))
    return folder


def release(tmp_path: Path, capsys: pytest.CaptureFixture[str], *more: object) -> Outcome:
    (tmp_path / "tiny.yaml").write_text(TINY)
    args = ("--data", tmp_path / "raw", "--out", tmp_path / "out", "--config", tmp_path / "tiny.yaml")
    return run_script("train_release", (*args, "--window", 16, "--stride", 8, *more), capsys)


def test_one_command_fetches_trains_and_writes_what_may_be_passed_on(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = release(tmp_path, capsys, "--accept-licence")
    assert outcome.code == 0, outcome.err
    assert "licence: CC BY 4.0 (G1 Moves, Mitch Chaiet)" in outcome.out
    assert "left out: FromVideo: no BVH of this name" in outcome.out
    assert "left out: Short: Short.bvh has 100 frames, Short.csv 99" in outcome.out

    folder = tmp_path / "out" / "release"
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.safetensors", "model.json", "README.md", "LICENSE.md", "metrics.json", "split.json",
                     "data_manifest.json", "config.yaml", "origin.json"}  # fmt: skip
    best, released = load_checkpoint(tmp_path / "out" / "run"), load_checkpoint(folder / "model.safetensors")
    for name, weights in best.model.state_dict().items():
        np.testing.assert_array_equal(released.model.state_dict()[name], weights)
    assert released.info["licences"] == [SOURCE.licence]
    assert released.spec == best.spec
    licence = (folder / "LICENSE.md").read_text()
    assert "https://creativecommons.org/licenses/by/4.0/" in licence
    for credited in ("Mitch Chaiet", "Jasmine Coro", "Mike Gassaway", SOURCE.page):
        assert credited in licence

    facts, card = json.loads((folder / "metrics.json").read_text()), (folder / "README.md").read_text()
    split = json.loads((folder / "split.json").read_text())
    assert sorted(name for members in split.values() for name in members) == [
        "Bow",
        "Chops",
        "Salsa",
        "Shuffle",
        "Woah",
    ]
    assert facts["data"]["revision"] == COMMIT
    assert facts["data"]["sha256"] in card
    assert card.startswith("---\nlicense: cc-by-4.0\ndatasets: [exptech/g1-moves]\n")
    assert f"Test: {split['test'][0]}." in card
    assert f"| bits/s | {best.info['bits_per_second']:.0f} |" in card
    assert f"degrees | {facts['test']['joint_error_deg']:.4g} |" in card
    assert str(tmp_path / "out") in card  # the command
    # and it is of use: motion goes in, motion comes out
    clip = next((tmp_path / "raw" / "dance" / "Bow").rglob("*.bvh"))
    args = ("--checkpoint", folder / "model.safetensors", "--input", clip, "--output", tmp_path / "bow.npz")
    assert run_script("retarget", args, capsys).code == 0

    # again: nothing is fetched, nothing trained
    hub.asked.clear()
    weights = (tmp_path / "out" / "run" / "last.safetensors").stat().st_mtime_ns
    assert release(tmp_path, capsys).code == 0
    assert not hub.asked
    assert (tmp_path / "out" / "run" / "last.safetensors").stat().st_mtime_ns == weights


@pytest.mark.slow
def test_an_interrupted_training_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from g1_vq_retarget.training import loop

    config, windows = tiny_training(Path(), Path()), WindowConfig(window=16, stride=8)
    whole = train_release(data, tmp_path / "whole", config, windows, ["train_release.py"])
    evaluate, calls = loop.evaluate, []

    def interrupt(*args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == 2:  # in the second epoch
            raise KeyboardInterrupt
        return evaluate(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "evaluate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_release(data, tmp_path / "out", config, windows)
    assert not (tmp_path / "out" / "release").exists()
    monkeypatch.setattr(loop, "evaluate", evaluate)
    assert train_release(data, tmp_path / "out", config, windows).metrics == whole.metrics


def test_without_the_licence_accepted_nothing_is_fetched(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", open("/dev/null"))  # noqa: SIM115
    outcome = release(tmp_path, capsys)
    assert outcome.code == 2
    assert "--accept-licence" in outcome.err
    assert not hub.asked
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize("source", ["lafan1_g1", "smplx_datasets", "somebody_elses"])
def test_data_that_may_not_be_shared_is_not_released(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    licence = SOURCES[source].licence if source in SOURCES else "CC BY 4.0"
    (tmp_path / "raw").mkdir()
    manifest = {"format_version": 1, "source": source, "licence": licence, "revision": COMMIT, "files": []}
    (tmp_path / "raw" / MANIFEST).write_text(json.dumps(manifest))
    outcome = release(tmp_path, capsys)
    assert outcome.code == 2
    assert licence in outcome.err
    assert "does not let others have a model made of it" in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_run_on_other_data_is_not_released_under_this_licence(data: Path, tmp_path: Path) -> None:
    out, windows = tmp_path / "out", WindowConfig(window=16, stride=8)
    train_release(data, out, tiny_training(Path(), Path()), windows)
    card = out / "run" / "best.json"
    info = json.loads(card.read_text())
    card.write_text(json.dumps(info | {"licences": ["CC BY-NC-ND 4.0 (LAFAN1, Ubisoft La Forge)"]}))
    with pytest.raises(UserError, match=r"was trained on data under CC BY 4\.0.*CC BY-NC-ND"):
        write_release(tmp_path / "leak", out / "run", out / "data", data, {}, [])
    assert not (tmp_path / "leak").exists()
    (data / MANIFEST).unlink()
    with pytest.raises(UserError, match=r"holds no download\.json"):
        shareable_source(data)


def test_motion_that_was_not_downloaded_is_not_released(data: Path, tmp_path: Path) -> None:
    write_pair(data, "Mine", 9)
    with pytest.raises(UserError, match=r"Mine\.(csv|bvh): is not what was downloaded"):
        train_release(data, tmp_path / "out", tiny_training(Path(), Path()), WindowConfig(window=16, stride=8))
    assert not (tmp_path / "out").exists()


def test_figures_of_a_release_are_of_held_out_clips(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--protocol seed has no meaning here"):
        train_release(data, tmp_path / "out", tiny_training(Path(), Path()), WindowConfig(protocol="seed"))


def test_a_clip_that_cannot_be_read_is_dropped(data: Path) -> None:
    (data / "dance" / "Bow" / "capture" / "Bow.bvh").write_bytes(b"")
    assert "is empty" in load_pairs(data, 60.0, "L", load_robot()).dropped["Bow"]


def test_pairs_are_the_same_motion_frame_by_frame(data: Path) -> None:
    pairs = load_pairs(data, 60.0, "L", load_robot())
    assert set(pairs.clips) == {"Salsa", "Woah", "Shuffle", "Chops", "Bow"}
    robot, human = pairs.clips["Woah"]
    assert (robot.fps, human.fps, len(robot), len(human)) == (60, 60, FRAMES, FRAMES)
    np.testing.assert_allclose(robot.joint_pos, robot_clip(FRAMES, 1, fps=60.0).joint_pos, atol=1e-5)
    assert robot.provenance.source == "dance/Woah/retarget/Woah.csv"
    assert set(pairs.dropped) == {"FromVideo", "Short"}


def test_pairs_of_another_rate_or_a_doubled_name_are_dropped(data: Path) -> None:
    write_bvh(human_clip(FRAMES, 0, fps=30.0), data / "dance" / "Salsa" / "capture" / "Salsa.bvh")
    shutil.copytree(data / "dance" / "Bow", data / "karate" / "Bow")
    dropped = load_pairs(data, 60.0, "L", load_robot()).dropped
    assert dropped["Salsa"] == "Salsa.bvh has 30 fps, expected 60"
    assert "has the name of another" in dropped["Bow"]
    shutil.rmtree(data / "dance")
    with pytest.raises(UserError, match="1 pairs, expected 3 or more"):
        load_pairs(data, 60.0, "L", load_robot())


def test_a_tenth_of_the_clips_is_held_out_whatever_their_order() -> None:
    names = [f"clip_{index}" for index in range(59)]
    split = split_by_name(names)
    assert {key: len(members) for key, members in split.items()} == {"train": 47, "val": 6, "test": 6}
    assert sorted(name for members in split.values() for name in members) == sorted(names)
    assert split_by_name(reversed(names)) == split
    # SHA-256: 2e7d… of c, 3e23… of b, ca97… of a
    assert split_by_name(["b", "a", "c"]) == {"train": ["a"], "val": ["b"], "test": ["c"]}


def test_the_windows_say_what_was_dropped(data: Path, tmp_path: Path) -> None:
    config = tiny_training(Path(), Path(), epochs=1)
    train_release(data, tmp_path / "out", config, WindowConfig(window=16, stride=8))
    manifest = DataFolder(tmp_path / "out" / "data").manifest
    assert set(manifest["dropped"]) == {"FromVideo", "Short"}
    assert {clip["robot"]["licence"] for clip in manifest["clips"]} == {SOURCE.licence}
