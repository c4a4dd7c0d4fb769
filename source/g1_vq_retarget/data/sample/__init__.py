"""The built-in sample: human motion made up by this package, of nobody's recording, and windows of it."""

from g1_vq_retarget.data.sample.clips import LICENCE, sample_clips, sample_split
from g1_vq_retarget.data.sample.windows import process_sample

__all__ = ["LICENCE", "process_sample", "sample_clips", "sample_split"]
