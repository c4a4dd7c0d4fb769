"""Motion libraries that only count frames, for tests of what is drawn from them."""

from __future__ import annotations

import torch

from g1_vq_retarget.tasks.motion_library import MotionFrames, MotionLibrary


def library(*lengths: int, fps: float = 50.0) -> MotionLibrary:
    """Clips whose joint angle is 100 times the clip's number, plus the frame's."""
    length = torch.tensor(lengths)
    numbers = torch.cat([100.0 * clip + torch.arange(frames) for clip, frames in enumerate(lengths)])[:, None]
    count = len(lengths)
    return MotionLibrary(
        names=tuple(map(str, range(count))),
        fps=fps,
        source_fps=(fps,) * count,
        licences=(),
        joint_names=("joint",),
        body_names=("pelvis",),
        root=0,
        first=length.cumsum(0) - length,
        length=length,
        frames=MotionFrames(numbers, *(torch.zeros(len(numbers), 1, width) for width in (1, 3, 4, 3, 3))),
    )
