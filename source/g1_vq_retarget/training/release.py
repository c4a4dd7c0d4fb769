"""A checkpoint that may be passed on: trained on a set whose licence allows it, with everything that goes with it."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from g1_vq_retarget.data.download import MANIFEST, read_download
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.data.g1_moves import Pairs, load_pairs, process_pairs
from g1_vq_retarget.data.process import WindowConfig
from g1_vq_retarget.data.sources import SOURCES, MotionSource
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.training.checkpoint import find_weights, load_checkpoint, save_checkpoint
from g1_vq_retarget.training.config import TrainConfig
from g1_vq_retarget.training.loop import train
from g1_vq_retarget.training.metrics import evaluate
from g1_vq_retarget.training.run_folder import STATE

# The figures that a model card shows, and what they are.
FIGURES = {
    "joint_error_deg": "robot → tokens → robot: joints, mean error, degrees",
    "body_error_mm": "robot → tokens → robot: links, mean distance in the pelvis' frame, mm",
    "recon": "robot → tokens → robot: joints, mean squared error, normalised",
    "cross_joint_error_deg": "human → tokens → robot: joints, mean error, degrees",
    "cross_body_error_mm": "human → tokens → robot: links, mean distance in the pelvis' frame, mm",
    "cross": "human → tokens → robot: joints, mean squared error, normalised",
}


@dataclass(frozen=True)
class Release:
    """What came of a training for release.

    Attributes:
        folder: the folder to pass on.
        licence: of the data, and so of what is decoded.
        metrics: on the test split.
        dropped: clips that were left out, and why.
    """

    folder: Path
    licence: str
    metrics: dict
    dropped: dict[str, str]


def train_release(
    data: Path, out: Path, config: TrainConfig, windows: WindowConfig, command: Sequence[str] | None = None
) -> Release:
    """Train on a download that may be shared, measure, and write the folder to pass on.

    Leaves in `out`: `data/` (windows), `run/` (the training, which goes on where it was interrupted) and `release/`.

    Args:
        data: folder made by `download`.
        out: folder to write.
        config: the training; its data and run are set here.
        windows: how clips become windows.
        command: what the model card names as the command, by default this process's.

    Raises:
        UserError: the data's licence does not let others have what is made of it, a file was not part of the
            download, or any step fails.
    """
    source = shareable_source(data)
    if windows.protocol != "heldout":
        raise UserError("--protocol seed has no meaning here: the figures of a release are of held-out clips")
    assert source.fps is not None, f"{source.name}: load_pairs needs the rate of its CSV"
    robot = load_robot()
    pairs = load_pairs(data, source.fps, source.licence, robot)
    _require_downloaded(data, pairs)
    process_pairs(pairs, out / "data", windows, robot)
    run = out / "run"
    config = replace(config, data=out / "data", run=run, motion=[], resume=(run / STATE).is_file())
    train(config)
    metrics = _measure(run, out / "data")
    write_release(out / "release", run, out / "data", data, metrics, command or sys.argv)
    return Release(out / "release", source.licence, metrics, pairs.dropped)


def shareable_source(data: Path) -> MotionSource:
    """The source that a download came from. Raises UserError if what is made of it may not be passed on."""
    manifest = read_download(data)
    source = SOURCES.get(str(manifest.get("source")))
    if source is None or not source.shareable or manifest.get("licence") != source.licence:
        allowed = ", ".join(name for name, known in SOURCES.items() if known.shareable)
        raise UserError(
            f"{data}: is {manifest.get('licence')}, which does not let others have a model made of it; "
            f"release what was trained on {allowed}"
        )
    return source


def _require_downloaded(data: Path, pairs: Pairs) -> None:
    """Refuse motion that came into the folder by any other way: the licence says nothing of it."""
    fetched = {file["sha256"] for file in read_download(data)["files"]}
    for clips in pairs.clips.values():
        for clip in clips:
            if clip.provenance.sha256 not in fetched:
                raise UserError(
                    f"{data / clip.provenance.source}: is not what was downloaded (by {MANIFEST}); remove it, or fetch "
                    "the folder again"
                )


def write_release(out: Path, run: Path, windows: Path, data: Path, metrics: dict, command: Sequence[str]) -> None:
    """Write the folder to pass on; an older one is replaced once the new one is whole.

    Args:
        out: the folder.
        run: the training's folder.
        windows: the data folder it was trained on.
        data: the download that was made of.
        metrics: on the test split.
        command: the command line.

    Raises:
        UserError: as `shareable_source`; the run was trained on anything else; the folder cannot be written.
    """
    source, origin = shareable_source(data), read_download(data)
    folder, checkpoint = DataFolder(windows), load_checkpoint(find_weights(run))
    licences = {*checkpoint.info["licences"], *folder.manifest["licences"]}
    if licences != {source.licence}:
        raise UserError(f"{run}: was trained on data under {', '.join(sorted(licences))}, not on {source.name} alone")
    work = out.resolve().with_name(f".{out.resolve().name}.partial")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        names = {split: [c["name"] for c in folder.manifest["clips"] if c["split"] == split] for split in folder.splits}
        facts = {
            "command": shlex.join(["python", *command]),
            "data": {
                "source": source.name,
                "repo": source.repo,
                "revision": origin["revision"],
                "sha256": data_hash(folder),
                "clips": len(folder.manifest["clips"]),
                "dropped": folder.manifest.get("dropped", {}),
            },
            "licence": source.licence,
            "credit": source.credit,
            "test": metrics,
        }
        told = ("format_version", "tool_version", "model", "features", "bits_per_second", "codebook_sizes")
        info = {key: value for key, value in checkpoint.info.items() if key not in (*told, "weights_sha256")}
        save_checkpoint(work / "model.safetensors", checkpoint.model, checkpoint.spec, info)
        (work / "model.safetensors").chmod(0o644)  # it is made for its owner's eyes alone
        _write_json(work / "metrics.json", facts)
        _write_json(work / "split.json", names)
        _write_json(work / "data_manifest.json", folder.manifest)
        for name in ("config.yaml", "origin.json"):
            shutil.copy(run / name, work / name)
        (work / "LICENSE.md").write_text(_licence_text(source), encoding="utf-8")
        card = _model_card(source, facts, checkpoint.info, folder, names)
        (work / "README.md").write_text(card, encoding="utf-8")
        if out.exists():
            if not (out / "LICENSE.md").is_file():
                raise UserError(f"{out}: is there already and no release; name another folder")
            shutil.rmtree(out)
        work.rename(out.resolve())
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def data_hash(folder: DataFolder) -> str:
    """SHA-256 that names the motion files windows were made of, whatever their order and place."""
    sides = [clip[side] for clip in folder.manifest["clips"] for side in ("robot", "human") if side in clip]
    lines = sorted(f"{side['sha256']}  {side['file']}" for side in sides)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _measure(run: Path, windows: Path) -> dict:
    checkpoint = load_checkpoint(find_weights(run))
    split = DataFolder(windows).split("test")
    human = checkpoint.info["human_windows"] > 0
    return evaluate(checkpoint.model, split, checkpoint.spec, checkpoint.spec.robot_model(), human=human).metrics


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")


def _licence_text(source: MotionSource) -> str:
    return f"""# Licence and credit

These weights were trained on motion under another's licence, and are passed on under the same:

**{source.licence}**: {source.terms}

Credit: {source.credit}

What was changed: a neural network was trained on the motion (cut into windows, resampled, mirrored, normalised); the
weights, and the means and standard deviations in `model.json`, are what is left of it. Keep this file with the
weights, and give this credit with motion that is decoded by them.

The program that reads them, g1_vq_retarget, is BSD-3-Clause.
"""


def _model_card(source: MotionSource, facts: dict, info: dict, folder: DataFolder, names: dict[str, list[str]]) -> str:
    test, data = facts["test"], facts["data"]
    figures = "\n".join(f"| {told} | {test[key]:.4g} |" for key, told in FIGURES.items() if key in test)
    held_out = ", ".join(names["test"])
    dropped = "".join(f"\n- {name}: {why}" for name, why in data["dropped"].items()) or " none"
    windows = ", ".join(f"{split} {entry['windows']} windows" for split, entry in folder.manifest["splits"].items())
    return f"""---
license: {"cc-by-4.0" if source.licence.startswith("CC BY 4.0") else "other"}
datasets: [{source.repo}]
tags: [robotics, humanoid, unitree-g1, motion-retargeting, vq-vae]
---

# {info.get("label") or "g1_vq_retarget"} on {source.name}

Human motion in, Unitree G1 motion (29 joints) out, through discrete tokens shared by both: a dual-encoder VQ-VAE at
{info["bits_per_second"]:.0f} bits/s ({folder.fps:g} frames/s, {len(info["codebook_sizes"])} codebooks).
Made with g1_vq_retarget {info["tool_version"]}, {datetime.now(UTC):%Y-%m-%d}.

```text
python scripts/retarget.py --checkpoint model.safetensors --input YOUR.bvh --output yours.npz
```

## How good

On the test split alone: clips that were neither trained on nor chosen by.
Seed {info.get("seed")}, epoch {info.get("epoch")}; all figures are in `metrics.json`.

| figure | value |
|---|---|
{figures}
| bits/s | {info["bits_per_second"]:.0f} |

## What it was trained on

{source.title}.
{source.page}, revision `{data["revision"]}`, {data["clips"]} clips.
SHA-256 of the files' hashes: `{data["sha256"]}`.

Split by clip, by the hash of its name (`split.json`): {windows} of {folder.window} frames.
Test: {held_out}.

Left out:{dropped}

Command: `{facts["command"]}`

## Licence and credit

{facts["licence"]}. {facts["credit"]} See `LICENSE.md`.
"""
