from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import sha256_of
from g1_vq_retarget.models import ModelConfig
from g1_vq_retarget.training.batches import load_batch
from g1_vq_retarget.training.checkpoint import find_weights, load_checkpoint, save_checkpoint
from synthetic import data_folder, save_started, started, tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return data_folder(tmp_path_factory.mktemp("checkpoint") / "data")


@pytest.fixture(scope="module")
def saved(folder: DataFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_started(tmp_path_factory.mktemp("saved") / "best.safetensors", folder)


@pytest.fixture
def path(saved: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return shutil.copytree(saved.parent, tmp_path / "run") / saved.name


def in_card(**changes: object) -> Callable[[Path], None]:
    """Set keys of the JSON beside the weights, or take them out where the value is None."""

    def damage(path: Path) -> None:
        card = path.with_suffix(".json")
        kept = {key: value for key, value in (json.loads(card.read_text()) | changes).items() if value is not None}
        card.write_text(json.dumps(kept))

    return damage


@pytest.mark.parametrize(
    "config",
    [tiny_model(), tiny_model("rvq"), tiny_model(root=False), tiny_model(downsample=8, beam=2, rotation_trick=True)],
    ids=["hybrid", "rvq", "joints only", "other settings"],
)
def test_a_model_comes_back_with_the_same_tokens_and_motion(
    config: ModelConfig, folder: DataFolder, tmp_path: Path
) -> None:
    model, spec = started(folder, config), folder.spec(config.root)
    save_checkpoint(tmp_path / "m.safetensors", model, spec, {"epoch": 3, "licences": [], "human_windows": 0})
    loaded = load_checkpoint(tmp_path / "m.safetensors")
    assert loaded.spec == spec
    assert loaded.model.config == config
    assert not loaded.model.training
    batch = load_batch(folder.split("test"), spec, np.arange(4), np.arange(4))
    with torch.no_grad():
        for encode, again, features in (
            (model.encode_robot, loaded.model.encode_robot, batch.robot),
            (model.encode_human, loaded.model.encode_human, batch.human),
        ):
            tokens = encode(features).tokens
            assert torch.equal(again(features).tokens, tokens)
            assert torch.equal(loaded.model.decode(tokens, 16), model.decode(tokens, 16))


def test_the_card_tells_what_the_weights_are(saved: Path) -> None:
    card = load_checkpoint(saved).info
    assert card["weights_sha256"] == sha256_of(saved)
    assert card["codebook_sizes"] == [20, 3, 8, 8]
    assert card["bits_per_second"] == pytest.approx((np.log2([20, 3, 8, 8]).sum()) * 50 / 4)
    assert card["licences"] == ["CC0 human", "CC0 robot"]
    assert card["features"]["joint_names"][0] == "left_hip_pitch_joint"


def test_a_run_folder_stands_for_its_best_and_else_its_last(path: Path) -> None:
    run = path.parent
    for suffix in (".safetensors", ".json"):
        shutil.copy(path.with_suffix(suffix), run / f"last{suffix}")
    assert find_weights(run) == run / "best.safetensors"
    (run / "best.safetensors").unlink()
    assert find_weights(run) == run / "last.safetensors"
    assert load_checkpoint(run).path == run / "last.safetensors"
    (run / "last.safetensors").unlink()
    with pytest.raises(UserError, match=r"run: holds no best\.safetensors or last\.safetensors"):
        load_checkpoint(run)


def test_nothing_else_is_left_beside_a_checkpoint(saved: Path) -> None:
    assert sorted(file.name for file in saved.parent.iterdir()) == ["best.json", "best.safetensors"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.unlink(), "best.safetensors: no such file"),
        (lambda path: path.write_bytes(b""), "best.safetensors is empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:5]), "best.safetensors: damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:2000]), "best.safetensors: damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-10]), "best.safetensors: damaged"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"),
        (lambda path: path.with_suffix(".json").unlink(), "best.json: no such file"),
        (lambda path: path.with_suffix(".json").write_text(""), "best.json is empty"),
        (lambda path: path.with_suffix(".json").write_text('{"format_version": 1'), "best.json: not JSON"),
        (lambda path: path.with_suffix(".json").write_text("[1]"), "best.json: checkpoint format_version is None"),
        (in_card(format_version=99), "best.json: checkpoint format_version is 99, this version of the package reads 1"),
        (in_card(format_version=None), "best.json: checkpoint format_version is None"),
        (in_card(model=None), "best.json: is no checkpoint's; train again"),
        (in_card(features=None), "best.json: lacks features"),
        (in_card(features={"robot": "g1"}), "does not fit best.json"),
        (in_card(model={"network": {"wings": 2}}), "best.json: unknown key wings"),
        (in_card(model={"network": {"width": 24}}), "does not fit best.json"),
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_refused_by_file(damage: Callable[[Path], None], told: str, path: Path) -> None:
    damage(path)
    with pytest.raises(UserError, match=told) as caught:
        load_checkpoint(path)
    assert str(path.parent) in str(caught.value)


def test_the_hash_is_that_of_the_weights_even_beside_the_card_of_others(path: Path) -> None:
    in_card(weights_sha256="0" * 64)(path)
    try:
        loaded = load_checkpoint(path)
    except UserError:
        return
    assert loaded.info["weights_sha256"] == sha256_of(path)
