"""Robot motion to track: from files, or decoded from tokens by a trained model, clip after clip."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, MotionError, RobotClip
from g1_vq_retarget.motion.formats import ReadOptions, format_of, load_motions
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.formats.npz import read_keys
from g1_vq_retarget.retarget import MotionTokens, Retargeter
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.tasks.motion_library import MotionLibrary
from g1_vq_retarget.tasks.tracking_config import NO_MOTION

# What a trained model's files end with.
_WEIGHTS = ".safetensors"


def load_library(
    motion: Path | Sequence[Path],
    fps: float,
    *,
    from_tokens: Path | Sequence[Path] | None = None,
    embedding: bool = False,
    joint_names: Sequence[str] | None = None,
    body_names: Sequence[str] | None = None,
    device: str | torch.device = "cpu",
    options: ReadOptions | None = None,
) -> MotionLibrary:
    """The motion library of what `--motion` and `--from-tokens` name.

    Args:
        motion, from_tokens, options: as of `robot_motion`.
        embedding: keep the quantized latent of each frame, too; the library's frame has that of the step it lies in.
        fps, joint_names, body_names, device: as of `MotionLibrary.of`.

    Raises:
        UserError: as of `robot_motion` and `MotionLibrary.of`; no motion named; an embedding of motion that is not from
            tokens. One line, naming the file or the clip.
    """
    if not _several(motion):
        raise UserError(NO_MOTION)
    robot = (options or {}).get("robot")
    latents: list[Tensor] = []  # of the library's rate, clip after clip
    weights = ""

    def clips() -> Iterator[RobotClip]:
        nonlocal weights
        if not embedding:
            yield from robot_motion(motion, from_tokens, device=device, options=options)
            return
        if not from_tokens:
            raise UserError(
                "--observe tokens: the motion is not from tokens; give a trained model as --motion and --from-tokens"
            )
        model = _model(motion, device, options or {})
        weights = model.checkpoint.info["weights_sha256"]
        for clip, tokens in _decoded(model, _several(from_tokens), options or {}):
            latents.append(_latents(model, tokens, fps))
            yield clip

    library = MotionLibrary.of(clips(), fps, robot=robot, joint_names=joint_names, body_names=body_names, device=device)
    if not embedding:
        return library
    lengths = library.length.tolist()
    parts = [latent[:length] for latent, length in zip(latents, lengths, strict=True)]
    return replace(library, embedding=torch.cat(parts).to(library.length.device), tokenizer_sha256=weights)


def robot_motion(
    motion: Path | Sequence[Path],
    from_tokens: Path | Sequence[Path] | None = None,
    *,
    device: str | torch.device = "cpu",
    options: ReadOptions | None = None,
) -> Iterator[RobotClip]:
    """Clips of a robot, read one at a time. One in a folder is named by its place there, without the suffix.

    Args:
        motion: a file of robot motion, of any format, or a folder of such, or several of these; with `from_tokens` a
            run folder or a checkpoint.
        from_tokens: what that model decodes: token files, or human or robot motion that it encodes before; one file,
            a folder of them, or several of these.
        device: where the model runs.
        options: what the files may leave untold, see `load_motions`.

    Raises:
        UserError: nothing there, a file that cannot be read, human motion without a model, or tokens of other weights.
    """
    options = options or {}
    if from_tokens:
        for clip, _ in _decoded(_model(motion, device, options), _several(from_tokens), options):
            yield clip
        return
    for path in _several(motion):
        yield from _from_files(path, options)


def _several(paths: Path | Sequence[Path]) -> Sequence[Path]:
    return [paths] if isinstance(paths, Path) else paths


def _model(motion: Path | Sequence[Path], device: str | torch.device, options: ReadOptions) -> Retargeter:
    path, *more = _several(motion)
    if more:
        raise UserError(f"--motion {more[0]}: with --from-tokens, --motion is one trained model, {path} is another")
    model = Retargeter(path, device=str(device))
    if model.robot != (options.get("robot") or load_robot()):
        raise UserError(f"--motion {path}: was trained for another robot; its motion cannot be tracked here")
    return model


def _decoded(
    model: Retargeter, paths: Sequence[Path], options: ReadOptions
) -> Iterator[tuple[RobotClip, MotionTokens]]:
    """What a model decodes of files, with the tokens it decodes."""
    for name, path in (named for given in paths for named in _named(given)):
        if _is_tokens(path):
            tokens = MotionTokens.load(path)
            yield replace(model.decode(tokens)[0], name=name), tokens
            continue
        for called, clip in _clips(name, path, options):
            motion, tokens, _ = model.retarget(clip)
            yield replace(motion, name=called), tokens


@torch.inference_mode()
def _latents(model: Retargeter, tokens: MotionTokens, fps: float) -> Tensor:
    """(T, D) the latent of the step that each frame lies in, at another rate; T has all of the motion, and may more."""
    steps = torch.from_numpy(tokens.tokens.astype(np.int64))[None].to(model.device)
    latent = model.model.quantizer.decode(steps)[0]
    frames = np.arange(math.ceil(tokens.frames * fps / tokens.fps) + 1)
    # a time that should be a step's first may come out a little before it
    step = (frames / fps * tokens.fps / model.model.downsample + 1e-6).astype(np.int64)
    return latent[torch.from_numpy(step.clip(max=len(latent) - 1)).to(latent.device)].clone()


def _from_files(motion: Path, options: ReadOptions) -> Iterator[RobotClip]:
    if motion.suffix == _WEIGHTS or (motion.is_dir() and any(motion.glob(f"*{_WEIGHTS}"))):
        raise UserError(f"--motion {motion}: is a trained model; say with --from-tokens what it shall decode")
    for name, path in _named(motion):
        if _is_tokens(path):
            raise UserError(f"{path}: holds tokens; give the model that made them as --motion, this as --from-tokens")
        for called, clip in _clips(name, path, options):
            if isinstance(clip, HumanClip):
                raise MotionError(
                    f"{path}: holds human motion; give a trained model as --motion and this as --from-tokens"
                )
            yield replace(clip, name=called)


def _clips(name: str, path: Path, options: ReadOptions) -> Iterator[tuple[str, RobotClip | HumanClip]]:
    """The clips of a file by name; where there are several, each has its own name behind the file's."""
    clips = load_motions(path, **options)
    for clip in clips:
        yield (name if len(clips) == 1 else f"{name}/{clip.name}"), clip


def _named(path: Path) -> list[tuple[str, Path]]:
    """The motion and token files that a path names: itself, or those at any depth of a folder."""
    if not path.is_dir() or _is_known(path):
        return [(path.stem, path)]  # what is not there is told by who reads it
    if (path / "manifest.json").is_file():
        raise UserError(f"{path}: holds training windows; give the folder of the motion files they are of")
    found, strange = list[Path](), list[Path]()
    for parent, folders, files in os.walk(path):
        below = [Path(parent, name) for name in sorted(folders) if not name.startswith(".")]
        motions = [folder for folder in below if _is_known(folder)]  # SONIC's folders are a motion each
        folders[:] = [folder.name for folder in below if folder not in motions]
        here = [Path(parent, name) for name in sorted(files) if not name.startswith(".")]
        known = [file for file in here if _is_known(file)]
        strange += [file for file in here if file not in known]
        found += motions + known
    if not found:
        raise UserError(f"{path}: no motion or token files in it")
    if strange:
        warnings.warn(f"{path}: {len(strange)} files of no known format passed over, {strange[0]} first", stacklevel=2)
    places = [(file, file.relative_to(path)) for file in found]
    return [((place if file.is_dir() else place.with_suffix("")).as_posix(), file) for file, place in places]


def _is_known(path: Path) -> bool:
    try:
        return format_of(path) is not None or _is_tokens(path)
    except UserError:  # a file that is damaged or empty is refused with its reason, a folder is one like any other
        return path.is_file()


def _is_tokens(path: Path) -> bool:
    if path.suffix != ".npz" or not path.is_file():
        return False
    with naming(path):
        return {"tokens", "meta"} <= read_keys(path)
