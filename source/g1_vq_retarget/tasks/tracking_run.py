"""What the trainings of all simulators leave in a run's folder alike: the motion's manifest, and checkpoints."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file
from g1_vq_retarget.tasks.motion_library import MotionLibrary
from g1_vq_retarget.tasks.sampling import StartSampler
from g1_vq_retarget.training.run_folder import write_text

MANIFEST = "motion_manifest.json"
# Of the counts of failures, in a checkpoint beside the networks.
FAILED = "sampling_failed"


def manifest_of(library: MotionLibrary) -> dict[str, Any]:
    """Which clips, of what lengths and rates, under which licences; and of motion from tokens, whose."""
    return {
        "motion": library.summary(),
        "licences": list(library.licences),
        "fps": library.fps,
        "tokenizer_sha256": library.tokenizer_sha256,
        "clips": [
            {"name": name, "frames": frames, "source_fps": fps}
            for name, frames, fps in zip(library.names, library.length.tolist(), library.source_fps, strict=True)
        ],
    }


def write_manifest(folder: Path, library: MotionLibrary) -> None:
    """Write `motion_manifest.json` into a run's folder."""
    write_text(folder / MANIFEST, json.dumps(manifest_of(library), indent=1))


def read_manifest(folder: Path, written_by: str) -> dict[str, Any]:
    """What `write_manifest` wrote.

    Raises:
        UserError: missing, or something else; names the script that writes it.
    """
    file = existing_file(folder / MANIFEST)
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: not JSON ({error})") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{file}: expected what {written_by} writes there")
    return manifest


def with_failures(infos: dict | None, sampler: StartSampler) -> dict[str, Any]:
    """What is saved in a checkpoint beside the networks, and what was sampled by."""
    return (infos or {}) | {FAILED: sampler.failed.cpu()}


@contextmanager
def reading_checkpoint(path: str | Path, written_by: str) -> Iterator[None]:
    """Tell in a line what is wrong with a checkpoint that is read within.

    Raises:
        UserError: no checkpoint of a policy, or one for other observations.
    """
    try:
        yield
    except (pickle.UnpicklingError, EOFError, OSError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a checkpoint of {written_by} ({type(error).__name__})") from error
    except RuntimeError as error:
        raise UserError(f"{path}: damaged, or of a policy that observes something else ({error})") from error
