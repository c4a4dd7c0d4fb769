"""Public motion sets: where they are, what they hold, and what their licences allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Hub = Literal["huggingface", "modelscope"]


@dataclass(frozen=True)
class MotionSource:
    """A public motion set.

    Attributes:
        name: what it is called here.
        title: what it is.
        hub, repo, revision: where it is; both hubs keep it as a data set.
        patterns: the files that are fetched, as fnmatch patterns in which * crosses folders. Archives among them are
            unpacked.
        megabytes: about how much that is.
        page: where to read about it.
        licence: by name, as manifests, checkpoints and NPZ files carry it.
        terms: what the licence allows.
        credit: whom to credit, and how.
        shareable: whether what is trained on it may be passed on to others.
        fps: frames a second of its motion, for files that do not tell; None where all do.
        usage: what to do with it.
    """

    name: str
    title: str
    hub: Hub
    repo: str
    revision: str
    patterns: tuple[str, ...]
    megabytes: int
    page: str
    licence: str
    terms: str
    credit: str
    shareable: bool
    fps: float | None
    usage: str


SOURCES: dict[str, MotionSource] = {
    source.name: source
    for source in (
        MotionSource(
            name="g1_moves",
            title="G1 Moves: 59 clips of dance and karate, motion capture (BVH) with the G1's motion (CSV), 60 fps",
            hub="huggingface",
            repo="exptech/g1-moves",
            revision="main",
            # videos, FBX, pickles and trained policies lie there, too
            patterns=("*/capture/*.bvh", "*/retarget/*.csv", "README.md", "DATASET_CARD.md", "LICENSE*"),
            megabytes=160,
            page="https://huggingface.co/datasets/exptech/g1-moves",
            licence="CC BY 4.0 (G1 Moves, Mitch Chaiet)",
            terms="share and adapt for any purpose, with credit, a link to the licence and a word on what was changed: "
            "https://creativecommons.org/licenses/by/4.0/",
            credit="G1 Moves: Motion Capture Dataset for the Unitree G1 Humanoid Robot, by Mitch Chaiet, 2026, "
            "https://huggingface.co/datasets/exptech/g1-moves. Performed by Mitch Chaiet, Jasmine Coro and Mike "
            "Gassaway, captured with MOVIN TRACIN, retargeted with movin_sdk_python.",
            shareable=True,
            fps=60.0,
            usage="python scripts/train_release.py --data {out}",
        ),
        MotionSource(
            name="lafan1_g1",
            title="LAFAN1 on the G1 by Unitree: 40 clips (CSV), 30 fps; a mirror of what Unitree published",
            hub="huggingface",
            repo="lvhaidong/LAFAN1_Retargeting_Dataset",
            revision="main",
            patterns=("g1/*.csv", "README.md", "LICENSE*"),
            megabytes=90,
            page="https://huggingface.co/datasets/lvhaidong/LAFAN1_Retargeting_Dataset",
            licence="CC BY-NC-ND 4.0 (LAFAN1, Ubisoft La Forge)",
            terms="use that is not commercial, with credit; nothing derived from it may be passed on, so neither may "
            "what is decoded from a model trained on it: https://creativecommons.org/licenses/by-nc-nd/4.0/",
            credit="Harvey, Yurick, Nowrouzezahrai, Pal: Robust Motion In-betweening, SIGGRAPH 2020 (LAFAN1, Ubisoft "
            "La Forge); retargeted by Unitree Robotics.",
            shareable=False,
            fps=30.0,
            usage="python scripts/data/process_data.py --source lafan1 --robot-dir {out}/g1 --human-dir DIR "
            "--split FILE --out data/lafan1",
        ),
        MotionSource(
            name="smplx_datasets",
            title="LAFAN1 on the G1 with SMPL-X poses of the human, frame by frame (NPZ): what the original project "
            "trained on",
            hub="modelscope",
            repo="seulzx/smplx_datasets",
            revision="master",
            patterns=("extended_datasets.tar.bz2", "lafan1_smplx_datasets.tar.bz2"),
            megabytes=2034,
            page="https://www.modelscope.cn/datasets/seulzx/smplx_datasets",
            licence="unknown (ModelScope seulzx/smplx_datasets, made of LAFAN1)",
            terms="none is told. The motion is LAFAN1's, which is CC BY-NC-ND 4.0: take it that nothing made of it may "
            "be sold or passed on",
            credit="seulzx; LAFAN1 by Ubisoft La Forge.",
            shareable=False,
            fps=None,
            usage="python scripts/data/process_data.py --source smplx_datasets --robot-dir {out} --split FILE "
            "--out data/smplx",
        ),
    )
}
