"""Where torch computes."""

from __future__ import annotations

import torch

from g1_vq_retarget.errors import UserError


def check_device(device: str) -> None:
    """Refuse what torch does not know, or what is not here.

    Raises:
        UserError: nothing can be kept there.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without it
        reason = str(error).splitlines()[0]
        raise UserError(f"--device {device}: cannot be used here ({reason}); leave it out for the CPU") from error
