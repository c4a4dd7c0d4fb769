"""Do the latents of humans and of the robot lie in the same places? Measures, before quantization.

No measure is taken in a two-dimensional map: its distances mean nothing (`latent_plot` draws them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.data.folder import Split
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.training.alignment import alignment, directions, pooled
from g1_vq_retarget.training.batches import load_batch
from g1_vq_retarget.training.checkpoint import Checkpoint

BATCH = 128
# Windows that are looked at, so that every pair of them can be compared; of more, so many are drawn.
MOST_WINDOWS = 2000
FEWEST_APART = 5
FOLDS = 5
NEIGHBOURS = 10
RETRIEVAL_WINDOWS = 200
RETRIEVAL_DRAWS = 10
RANKS = (1, 5)


@dataclass(frozen=True)
class PairedLatents:
    """Continuous latents z_e of both sides of the same windows.

    Attributes:
        human, robot: (P, T, C) of the two encoders, before quantization.
        clips: (P,) name of each window's clip.
        starts: (P,) first frame of each window in its clip.
        window: frames of a window.
    """

    human: Tensor
    robot: Tensor
    clips: np.ndarray
    starts: np.ndarray
    window: int

    def __len__(self) -> int:
        return len(self.human)

    @cached_property
    def points(self) -> np.ndarray:
        """(2P, C) latents, mean-pooled over time: all of the human's, then all of the robot's."""
        return pooled(torch.cat([self.human, self.robot])).double().numpy()

    @cached_property
    def is_robot(self) -> np.ndarray:
        """(2P,) which domain each point is of."""
        return np.repeat([False, True], len(self))

    @cached_property
    def actions(self) -> np.ndarray:
        """(P,) action of each window."""
        return np.array([action_of(clip) for clip in self.clips])

    @cached_property
    def share_frames(self) -> np.ndarray:
        """(P, P) whether two windows share a frame; each does with itself."""
        near = np.abs(self.starts[:, None] - self.starts) < self.window
        return near & (self.clips[:, None] == self.clips)


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (of a sample) over draws."""

    mean: float
    std: float

    @staticmethod
    def over(values: Sequence[float]) -> Spread:
        """Of two values or more."""
        return Spread(float(np.mean(values)), float(np.std(values, ddof=1)))


@dataclass(frozen=True)
class Retrieval:
    """How often a window is found again from its other side.

    Attributes:
        windows: how many are told apart in a draw; no two of them share a frame.
        draws: how many draws the figures are over.
        human_to_robot, robot_to_human: share of windows whose other side is the nearest (`top1`), or among the five
            nearest (`top5`), by cosine of the pooled latents, as InfoNCE compares. Chance is 1 / windows for top1.
    """

    windows: int
    draws: int
    human_to_robot: Mapping[str, Spread]
    robot_to_human: Mapping[str, Spread]


@dataclass(frozen=True)
class LatentMeasures:
    """What `measure` finds.

    Attributes:
        windows: pairs that were looked at.
        clips: their clips.
        align_mse, align_infonce: as `training.alignment` defines them.
        domain_accuracy: share of pooled latents whose domain a classifier tells that was trained on other clips:
            `logistic` regression, and a support vector machine (`kernel`). 0.5 is overlap, 1 is apart.
        folds: `clips`, or, where there is but one, `parts of a clip`.
        knn_mixing: share of the other domain among the ten nearest, over its expectation (half); 1 is mixed, 0 is
            apart.
        retrieval: finding a window again from its other side.
        silhouette: mean silhouette of pooled latents by action (1: compact and far apart; 0: they touch), of `human`,
            `robot` and `both` domains; None where there is but one action.
    """

    windows: int
    clips: Sequence[str]
    align_mse: float
    align_infonce: float
    domain_accuracy: Mapping[str, float]
    folds: str
    knn_mixing: float
    retrieval: Retrieval
    silhouette: Mapping[str, float] | None


@contextmanager
def analysis_extra() -> Iterator[None]:
    """Imports that the extra `analysis` brings.

    Raises:
        UserError: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"the latent space's analysis needs {error.name or error}: pip install -e '.[analysis]'"
        ) from error


def action_of(clip: str) -> str:
    """Action of a clip by its name, without number and subject: `dance` of `dance1_subject2`."""
    return re.sub(r"[\d_-]*(_subject\d+.*)?$", "", clip) or clip


@torch.no_grad()
def paired_latents(checkpoint: Checkpoint, split: Split, seed: int = 0) -> PairedLatents:
    """Both encoders' latents of the windows that have two sides; of more than 2,000, so many drawn at random.

    Raises:
        UserError: the model has not seen humans, or the split has too few windows with a human side.
    """
    if not checkpoint.info["human_windows"]:
        raise UserError(f"{checkpoint.path}: trained without human motion; its human encoder says nothing")
    pairs = np.arange(len(split.human))
    if len(pairs) > MOST_WINDOWS:
        pairs = np.sort(np.random.default_rng(seed).choice(pairs, MOST_WINDOWS, replace=False))
    rows = np.asarray(split.human_rows)[pairs]
    clip_of_row = np.array(split.clip_of_row)
    _, first_rows, which = np.unique(clip_of_row, return_index=True, return_inverse=True)
    clips, starts = clip_of_row[rows], (rows - first_rows[which[rows]]) * split.folder.manifest["stride"]
    if count_apart(clips, starts, split.folder.window) < FEWEST_APART:
        raise UserError(
            f"{split.folder.path}: split '{split.name}' has {len(split.human)} windows with a human side, and fewer "
            f"than {FEWEST_APART} that share no frame; choose another --split"
        )
    latents: list[tuple[Tensor, Tensor]] = []
    for part in np.array_split(np.arange(len(pairs)), max(1, len(pairs) // BATCH)):
        batch = load_batch(split, checkpoint.spec, rows[part], pairs[part])
        latents.append((checkpoint.model.human_latent(batch.human), checkpoint.model.robot_encoder(batch.robot)))
    human, robot = (torch.cat(side) for side in zip(*latents, strict=True))
    return PairedLatents(human, robot, clips, starts, split.folder.window)


def measure(latents: PairedLatents, seed: int = 0) -> LatentMeasures:
    """All measures; the seed decides the draws of `retrieval` alone.

    Raises:
        UserError: scikit-learn is not installed.
    """
    clips = list(dict.fromkeys(latents.clips.tolist()))
    return LatentMeasures(
        windows=len(latents),
        clips=clips,
        **alignment(latents.human, latents.robot),
        domain_accuracy=domain_accuracy(latents),
        folds="clips" if len(clips) > 1 else "parts of a clip",
        knn_mixing=knn_mixing(latents),
        retrieval=retrieval(latents, seed),
        silhouette=action_silhouette(latents),
    )


def domain_accuracy(latents: PairedLatents) -> dict[str, float]:
    """Share of points whose domain a classifier tells that was trained on other clips, by `logistic` and `kernel`.

    Raises:
        UserError: scikit-learn is not installed.
    """
    with analysis_extra():
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GroupKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

    groups = np.unique(latents.clips, return_inverse=True)[1]
    if not groups.any():  # one clip: as many parts of it, one after the other
        groups = np.argsort(np.argsort(latents.starts)) * FOLDS // len(latents)
    folds = GroupKFold(min(FOLDS, groups.max() + 1))
    accuracy = {}
    for name, classifier in (("logistic", LogisticRegression(max_iter=1000)), ("kernel", SVC())):
        pipeline = make_pipeline(StandardScaler(), classifier)
        told = cross_val_predict(pipeline, latents.points, latents.is_robot, groups=np.tile(groups, 2), cv=folds)
        accuracy[name] = float((np.asarray(told) == latents.is_robot).mean())
    return accuracy


def knn_mixing(latents: PairedLatents, neighbours: int = NEIGHBOURS) -> float:
    """Share of the other domain among the nearest points, over one half.

    Neighbours are sought among windows that share no frame with the point's own, so that neither its other side nor
    the windows before and after it, which are near in any latent space, count. Half of what is left is of the other
    domain.
    """
    squares = np.square(latents.points).sum(axis=1)
    distance = squares[:, None] + squares - 2 * latents.points @ latents.points.T
    distance[np.tile(latents.share_frames, (2, 2))] = np.inf
    neighbours = min(neighbours, int(np.isfinite(distance).sum(axis=1).min()))
    nearest = np.argpartition(distance, neighbours - 1, axis=1)[:, :neighbours]
    return float(np.not_equal(latents.is_robot[nearest], latents.is_robot[:, None]).mean() / 0.5)


def retrieval(
    latents: PairedLatents, seed: int = 0, windows: int = RETRIEVAL_WINDOWS, draws: int = RETRIEVAL_DRAWS
) -> Retrieval:
    """Find the other side of each window among `windows` that share no frame, or as many as there are."""
    rng = np.random.default_rng(seed)
    windows = min(windows, count_apart(latents.clips, latents.starts, latents.window))
    chosen = [draw_apart(latents, windows, rng) for _ in range(draws)]
    cosines = (directions(latents.human.double()) @ directions(latents.robot.double()).T).numpy()
    ways = {
        way: {
            f"top{rank}": Spread.over([share_found(scores[np.ix_(some, some)], rank) for some in chosen])
            for rank in RANKS
        }
        for way, scores in (("human_to_robot", cosines), ("robot_to_human", cosines.T))
    }
    return Retrieval(windows, draws, **ways)


def action_silhouette(latents: PairedLatents) -> dict[str, float] | None:
    """Mean silhouette (Rousseeuw 1987) by action; None where there is but one.

    Raises:
        UserError: scikit-learn is not installed.
    """
    with analysis_extra():
        from sklearn.metrics import silhouette_score

    if len(set(latents.actions)) < 2:
        return None
    human, robot = np.split(latents.points, 2)
    return {
        "human": float(silhouette_score(human, latents.actions)),
        "robot": float(silhouette_score(robot, latents.actions)),
        "both": float(silhouette_score(latents.points, np.tile(latents.actions, 2))),
    }


def count_apart(clips: np.ndarray, starts: np.ndarray, window: int) -> int:
    """How many windows `draw_apart` can give, of some clips with some first frames."""
    return sum(min(map(len, chains)) for chains in _chains(clips, starts, window))


def draw_apart(latents: PairedLatents, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) windows of which no two share a frame: of each clip every so many-th, from a random one on."""
    chains = _chains(latents.clips, latents.starts, latents.window)
    every = np.concatenate([some[rng.integers(len(some))] for some in chains])
    return rng.choice(every, count, replace=False)


def _chains(clips: np.ndarray, starts: np.ndarray, window: int) -> list[list[np.ndarray]]:
    """For each clip the chains of windows, each beginning where the one before has ended, from each possible first."""
    chains = []
    for clip in np.unique(clips):
        members = np.flatnonzero(clips == clip)
        members = members[np.argsort(starts[members])]
        begins = starts[members]
        firsts = range(np.searchsorted(begins, begins[0] + window))
        chains.append([members[_chain(begins, first, window)] for first in firsts])
    return chains


def _chain(starts: np.ndarray, first: int, window: int) -> list[int]:
    chain = [first]
    while (after := int(np.searchsorted(starts, starts[chain[-1]] + window))) < len(starts):
        chain.append(after)
    return chain


def share_found(scores: np.ndarray, rank: int) -> float:
    """Share of rows whose diagonal entry is among the `rank` greatest; of equal ones each is as likely the first."""
    own = np.diagonal(scores)[:, None]
    greater, equal = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
    return float(((rank - greater) / equal).clip(0, 1).mean())
