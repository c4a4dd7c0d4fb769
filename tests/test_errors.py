from __future__ import annotations

import pytest

from g1_vq_retarget.errors import UserError, reporting


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UserError("a.csv: line 3\n  is odd"), 2, "error: a.csv: line 3 is odd\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_an_exit_code(
    error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped, reporting():
        raise error
    assert stopped.value.code == code
    assert capsys.readouterr() == ("", told)


def test_a_broken_program_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError), reporting():
        raise ZeroDivisionError
