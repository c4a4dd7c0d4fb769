"""Prior trained, measured, sampled from and compressed with, by the scripts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.motion import RobotClip
from g1_vq_retarget.motion.formats import load_motion
from g1_vq_retarget.retarget import MotionTokens
from running import Script, World, run_script

SMALL = ("--epochs", 1, "--width", 16, "--depth", 2)


@pytest.fixture(scope="module")
def prior(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    args = ("--checkpoint", world.run, "--data", world.data, "--out", path, *SMALL)
    assert run_script("train_prior", args).code == 0
    return path


def test_training_tells_the_rate(world: World, script: Script, tmp_path: Path) -> None:
    out = tmp_path / "p.safetensors"
    outcome = script("train_prior", "--checkpoint", world.run, "--data", world.data, "--out", out, *SMALL)
    assert outcome.code == 0, outcome.err
    assert f"wrote {out}:" in outcome.out
    assert "bits/s on val, nominal" in outcome.out


def test_the_measured_rate_stands_among_the_figures(world: World, prior: Path, script: Script) -> None:
    outcome = script("evaluate", "--checkpoint", world.run, "--data", world.data, "--prior", prior)
    assert outcome.code == 0, outcome.err
    figures = {words[0]: words[1:] for words in map(str.split, outcome.out.splitlines()) if words}
    rate, nominal = (float(figures[key][0]) for key in ("measured_bits_per_second", "bits_per_second"))
    assert 0 < rate < 2 * nominal
    assert len(figures["measured_bits"]) == 4


def test_samples_are_clips_and_come_again_with_their_seed(
    world: World, prior: Path, script: Script, tmp_path: Path
) -> None:
    def drawn(folder: str, seed: int) -> list[RobotClip]:
        outcome = script(
            "sample_motion", "--checkpoint", world.run, "--prior", prior, "--out", tmp_path / folder,
            "--seconds", 0.5, "--count", 2, "--seed", seed, "--prompt", world.motion / "bvh" / "dance.bvh",
            "--prompt-seconds", 1,
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        clips = [load_motion(tmp_path / folder / f"sample_{number}.npz") for number in range(2)]
        return [clip for clip in clips if isinstance(clip, RobotClip)]

    one, again, other = drawn("one", 1), drawn("again", 1), drawn("other", 2)
    # a second and a frame of prompt, half a second to the next step of 4 frames
    assert [len(clip) for clip in one] == [48 + 28, 48 + 28]
    np.testing.assert_array_equal(one[0].joint_pos, again[0].joint_pos)
    assert not np.array_equal(one[0].joint_pos, other[0].joint_pos)
    assert "LAFAN1" in one[0].provenance.licence


def test_tokens_are_compressed_and_come_back(world: World, prior: Path, script: Script, tmp_path: Path) -> None:
    tokens, packed, again = (tmp_path / name for name in ("t.npz", "t.g1t", "again.npz"))
    dance, out = world.motion / "bvh" / "dance.bvh", tmp_path / "dance.npz"
    script("retarget", "--checkpoint", world.run, "--input", dance, "--output", out, "--tokens", tokens)
    flags = ("--checkpoint", world.run, "--prior", prior)
    for source, target in ((tokens, packed), (packed, again)):
        outcome = script("compress_tokens", *flags, "--input", source, "--output", target)
        assert outcome.code == 0, outcome.err
    np.testing.assert_array_equal(MotionTokens.load(again).tokens, MotionTokens.load(tokens).tokens)
    assert packed.stat().st_size < tokens.stat().st_size


@pytest.mark.parametrize(
    ("name", "flags", "told"),
    [
        ("train_prior", ("--out", "prior.txt"), "--out prior.txt: expected the name of a new .safetensors file"),
        ("sample_motion", ("--out", "new", "--seconds", "0"), "--seconds must be a positive number"),
        ("sample_motion", ("--out", "new", "--temperature", "-1"), "--temperature must not be negative"),
        ("sample_motion", ("--out", "new", "--count", "0"), "--count must be at least 1"),
        ("sample_motion", ("--out", "new", "--prompt-seconds", "1"), "--prompt-seconds is of --prompt"),
        ("sample_motion", ("--out", "new"), "holds no prior.safetensors; train one with scripts/train_prior.py"),
        ("compress_tokens", ("--input", "none.npz", "--output", "t.g1t"), "holds no prior.safetensors"),
    ],
)
def test_mistakes_are_told_in_one_line(
    name: str, flags: tuple[str, ...], told: str, world: World, script: Script, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    data = ("--data", world.data) if name == "train_prior" else ()
    outcome = script(name, "--checkpoint", world.run, *data, *flags)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert told in outcome.err
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_prior_is_no_models_but_its_own(world: World, prior: Path, script: Script, tmp_path: Path) -> None:
    for suffix in (".safetensors", ".json"):
        content = prior.with_suffix(suffix).read_bytes()
        (tmp_path / f"prior{suffix}").write_bytes(content)
    card = tmp_path / "prior.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"model_sha256": "0"}))
    outcome = script("evaluate", "--checkpoint", world.run, "--data", world.data, "--prior", tmp_path)
    assert outcome.code == 2
    assert "is the prior of another model than" in outcome.err
