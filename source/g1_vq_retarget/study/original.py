"""The table that the original project published (December 2025), to set ours beside.

Its figures are over the windows it trained on. It states neither rates, nor budgets, nor how ± and the figures are
defined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from g1_vq_retarget.study.experiments import Spread


@dataclass(frozen=True)
class OriginalRow:
    """A line of its table.

    Attributes:
        label: the method, in its words.
        experiments: names of our experiments that are the same method.
        figures: by the columns' names: mean and deviation, None where it gives none.
    """

    label: str
    experiments: tuple[str, ...]
    figures: Mapping[str, Spread]


def _row(label: str, experiments: tuple[str, ...], **figures: tuple[float, float] | float) -> OriginalRow:
    spreads = {
        name: Spread(*figure) if isinstance(figure, tuple) else Spread(figure, None) for name, figure in figures.items()
    }
    return OriginalRow(label, experiments, spreads)


TABLE = (
    _row("Baseline(Simple)", ("simple_ema",), recon=(0.0457, 0.0027), cross=(0.0459, 0.0027), align=0.0024,
         vel=0.0018, jerk=0.0061, ppl=(84.6, 7.0), dcr=(89.7, 1.0)),
    _row("ResNet+EMA", ("resnet_ema",), recon=(0.0355, 0.0), cross=(0.0356, 0.0001), align=0.0017,
         vel=0.0011, jerk=0.0024, ppl=(199.5, 24.7), dcr=(74.3, 3.2)),
    _row("ResNet+RVQ", ("resnet_rvq",), recon=(0.0124, 0.0002), cross=(0.0130, 0.0), align=0.0005,
         vel=0.0008, jerk=0.0023, ppl=(520.8, 2.4), dcr=(34.9, 0.6)),
    _row("FSQ", ("resnet_fsq",), recon=(0.0317, 0.0016), cross=(0.0317, 0.0014), align=0.0004,
         vel=0.0010, jerk=0.0030, ppl=(1363.9, 4.0), dcr=0.0),
    _row("LFQ", ("resnet_lfq",), recon=(0.0580, 0.0006), cross=(0.0571, 0.0005), align=(0.0837, 0.0482),
         vel=0.0013, jerk=0.0038, ppl=(164.2, 8.9), dcr=(84.0, 0.9)),
    _row("Ours(Dual-Enc+Hybrid)", ("resnet_hybrid", "seed_hybrid"), recon=(0.0120, 0.0006), cross=(0.0127, 0.0006),
         align=0.0005, vel=0.0007, jerk=0.0023, ppl=(1096.8, 0.3), dcr=0.0),
)  # fmt: skip

# What its running text says of the hybrid instead; it does not name the columns, which are read off by their size.
TEXT = _row("Ours(Dual-Enc+Hybrid), in its text", ("resnet_hybrid", "seed_hybrid"), recon=0.0081, vel=0.0006,
            jerk=0.0022, ppl=1670.3)  # fmt: skip

DEVIATIONS = (
    "The original states no rate, and rates decide recon; rows of the two are for comparing only with that in mind.",
    "Robot motion: theirs is of ModelScope's smplx_datasets; ours is Unitree's retargeting of LAFAN1 unless the data "
    "folder says otherwise, resampled 30 to 50 fps by cubic splines.",
    "Theirs has a human side to every window; align and cross are over those windows of ours that have one.",
    "The original's budget is not known.",
    "align: ours is the mean squared distance of the latents, not normalised by their size; theirs is not defined.",
    "jerk: ours is the mean squared third difference of decoded normalised joints, and less than the truth's is not "
    "better; theirs is not defined, and whether it is of motion or of its error is not known.",
    "PPL and DCR: ours are counted over all windows at once and averaged over levels; DCR is of the codes that so many "
    "tokens could have used. How theirs are counted is not known.",
    "±: ours is the sample standard deviation over seeds; theirs is not defined, and which seeds it is over is not "
    "told (42, 999 and 1024 are in names of its files).",
    "Sizes of networks and vocabularies, optimizer and learning rate are ours: the presets tell them.",
    "The text's figures stand there without names of columns: 0.0081 is read as recon, 0.0006 as vel, 0.0022 as jerk.",
)
