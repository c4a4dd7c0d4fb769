from __future__ import annotations

import pytest

from g1_vq_retarget.devices import check_device
from g1_vq_retarget.errors import UserError


def test_the_processor_is_always_there() -> None:
    check_device("cpu")


@pytest.mark.parametrize("device", ["gpu", "CUDA", "cuda:99", ""])
def test_what_is_not_here_is_told_in_a_line(device: str) -> None:
    with pytest.raises(UserError, match=f"^--device {device}: cannot be used here .* leave it out") as told:
        check_device(device)
    assert "\n" not in str(told.value)
