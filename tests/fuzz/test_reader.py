"""The reading process notices what it is there to notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fuzz import misbehaviour
from fuzz.mutations import PICKLED
from fuzz.reader import Reader, load

pytestmark = pytest.mark.fuzz


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with closing(Reader()) as reader:
        yield reader


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("raise_something", "KeyError: 'joint_pos'"),
        ("refuse_without_name", "does not name the file"),
        ("refuse_at_length", "an error of 50"),
        ("refuse_in_lines", "an error of several lines"),
        ("work_forever", "hangs: 10 s of work"),
        ("die", "ends the process: -9"),
        ("touch_much_memory", "MemoryError"),
        ("ask_for_more_memory_than_there_is", "MemoryError"),
        ("write_a_file", "writes "),
        ("remove_a_file", "does os.remove"),
        ("run_a_program", "does subprocess.Popen"),
        ("load_a_pickle", "writes canary"),
    ],
)
def test_a_reading_that_breaks_the_law_is_broken(name: str, told: str, reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "file.pkl"
    path.write_bytes(PICKLED)
    outcome = reader(getattr(misbehaviour, name), path, {})
    assert outcome.kind == "broken"
    assert told in outcome.told
    Path("canary").unlink(missing_ok=True)


def test_one_that_keeps_it_is_read_or_refused_by_the_same_process(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "file.pkl"
    path.write_bytes(PICKLED)
    assert reader(misbehaviour.wait_a_little, path, {}).kind == "read"
    assert reader(load, path, {}).kind == "refused"
    assert not Path("canary").exists()
