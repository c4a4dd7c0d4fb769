"""Damaged files of every format: each gives motion or a clear error, and does nothing else. `make fuzz`.

hypothesis draws which file is damaged and how, the same every time, and makes a failing case smaller. The file of a
failing case stays in outputs/fuzz, to be read again with `python tests/fuzz/reader.py FILE`. `FUZZ_INPUTS` is how many
inputs there are in all, `FUZZ_SEED` draws others.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fuzz.conftest import PROPERTY
from fuzz.mutations import ANY, BY_KIND, CANARY, FOLDER, Files
from fuzz.reader import Reader, Task, load
from fuzz.seeds import OTHERS, SEEDS, Seed, real_seeds
from g1_vq_retarget.motion.formats import _FORMATS

# of damaging (two members of one name) and of writing whole files (no wrists)
pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[2]
INPUTS = int(os.environ.get("FUZZ_INPUTS", "13000"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))

LARGEST = 4 * 2**20

# What a caller may say beside the path. Most files are read as they are.
OPTIONS: list[dict[str, Any]] = [
    *[{}] * 4,
    {"joint_order": "isaac"},
    {"joint_order": "mujoco", "quat_order": "xyzw"},
    {"quat_order": "wxyz", "fps": 30.0},
    {"up": "y", "unit": "cm"},
    {"up": "z", "unit": "m", "fps": 50.0},
]


class Case(NamedTuple):
    """A damaged file: which one, how, and what is said when it is read."""

    seed: str
    damages: tuple[tuple[str, int], ...]
    options: Mapping[str, Any]


def seeds_of(title: str, folder: Path, request: pytest.FixtureRequest) -> dict[str, Seed]:
    """Files of a format, by name."""
    seeds = SEEDS[title](folder)
    with suppress(pytest.skip.Exception):  # where no real motion lies beside the checkout
        seeds += real_seeds(request.getfixturevalue("lafan1"), folder).get(title, [])
    return {one.name: one for one in seeds}


def cases(seeds: Mapping[str, Seed], said: Sequence[dict[str, Any]]) -> st.SearchStrategy[Case]:
    def of(name: str) -> st.SearchStrategy[Case]:
        one = seeds[name]
        own = [damage.__name__ for kind in one.kinds for damage in BY_KIND[kind]]
        whole = [damage.__name__ for damage in FOLDER] if len(one.files) > 1 else []
        names = st.sampled_from([*own, *own, *(damage.__name__ for damage in ANY), *whole])
        steps = st.lists(st.tuples(names, st.integers(0, 2**32 - 1)), min_size=1, max_size=3)
        options = st.sampled_from(said).map(lambda more: {**one.options, **more})
        return st.builds(Case, st.just(name), steps.map(tuple), options)

    return st.sampled_from(sorted(seeds)).flatmap(of)


def damaged(one: Seed, case: Case) -> Files:
    files = dict(one.files)
    known = {damage.__name__: damage for kind in one.kinds for damage in BY_KIND[kind]}
    known |= {damage.__name__: damage for damage in ANY}
    whole = {damage.__name__: damage for damage in FOLDER}
    for name, number in case.damages:
        rng = Random(number)
        if not files:
            break
        if name in whole:
            whole[name](files, rng)
            continue
        file = rng.choice(sorted(files))
        try:
            files[file] = known[name](files[file], rng)
        except Exception:  # what is damaged so far cannot be taken apart to be damaged further
            files[file] = ANY[number % len(ANY)](files[file], rng)
        files[file] = files[file][:LARGEST]  # repetition upon repetition would fill the memory
    return files


def write(one: Seed, files: Files, folder: Path) -> Path:
    """The files on disk; a single one under its name, several in a folder."""
    path = folder / one.name
    if len(one.files) == 1:
        path.write_bytes(files[one.name])
        return path
    shutil.rmtree(path, ignore_errors=True)
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    path.mkdir(exist_ok=True)
    return path


def keep(path: Path, title: str) -> Path:
    """A copy of what broke the law, to be looked at."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]
    kept = ROOT / "outputs" / "fuzz" / f"{title.replace(' ', '_')}-{digest}" / path.name
    kept.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        shutil.copy(path, kept)
    else:
        shutil.copytree(path, kept, dirs_exist_ok=True)
    return kept


@pytest.mark.parametrize("title", [known.title for known in _FORMATS])
def test_every_format_has_a_file_to_damage_that_is_read_whole(
    title: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert title in SEEDS, f"no file of the format {title} to damage: add one to tests/fuzz/seeds.py"
    for one in seeds_of(title, tmp_path, request).values():
        path = write(one, one.files, tmp_path)
        assert load(path, **one.options)


@pytest.fixture(scope="session")
def reader() -> Iterator[Reader]:
    with closing(Reader()) as reader:
        yield reader


@pytest.fixture
def hold_law(reader: Reader, tmp_path: Path, record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Damage files of a kind as often as they are due, and see what reading them does; `after` what it leaves."""

    def hold(
        title: str,
        whole: list[Seed],
        task: Task,
        after: Callable[[Path], str],
        said: Sequence[dict[str, Any]] = ({},),
    ) -> None:
        seeds = {one.name: one for one in whole}
        seen: set[bytes] = set()
        outcomes, peak = Counter[str](), 0
        place = tmp_path / "outside" / "place"

        @seed(SEED)
        @settings(
            max_examples=math.ceil(INPUTS / (len(_FORMATS) + len(OTHERS))),
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
            print_blob=False,
        )
        @given(case=cases(seeds, said))
        def law(case: Case) -> None:
            nonlocal peak
            one = seeds[case.seed]
            files = damaged(one, case)
            shutil.rmtree(place.parent, ignore_errors=True)
            place.mkdir(parents=True)
            path = write(one, files, place)
            digest = hashlib.sha256(repr((sorted(files.items()), sorted(case.options.items()))).encode()).digest()
            outcome = reader(task, path, dict(case.options))
            broken = outcome.told if outcome.kind == "broken" else after(path)
            if digest not in seen:  # hypothesis may come back to a case
                seen.add(digest)
                outcomes["broken" if broken else outcome.kind] += 1
            peak = max(peak, outcome.peak)
            if broken:
                raise AssertionError(f"{keep(path, title)} read with {dict(case.options)}: {broken}")

        try:
            law()
        finally:
            record_property(PROPERTY, (title, dict(outcomes), peak))

    return hold


@pytest.mark.fuzz
@pytest.mark.parametrize("title", [known.title for known in _FORMATS])
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    title: str, hold_law: Callable[..., None], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "whole").mkdir()
    seeds = list(seeds_of(title, tmp_path / "whole", request).values())

    def after(path: Path) -> str:
        left = [str(other) for other in path.parents[1].rglob("*") if other.name == CANARY]
        left += [CANARY] if Path(CANARY).exists() else []
        return f"left {left}" if left else ""

    hold_law(title, seeds, load, after, OPTIONS)


@pytest.mark.fuzz
@pytest.mark.parametrize("title", OTHERS)
def test_other_damaged_files_are_read_or_refused_and_nothing_else(
    title: str, hold_law: Callable[..., None], tmp_path: Path
) -> None:
    task, make = OTHERS[title]
    (tmp_path / "whole").mkdir()

    def after(path: Path) -> str:
        """What there is beside the file and, of an archive, its target."""
        inside = path.rglob("*") if path.is_dir() else (path.parent / "target").rglob("*")
        known = {path, path.parent, path.parent / "target", *inside}

        def plain(other: Path) -> bool:
            return not other.is_symlink() and (other.is_file() or other.is_dir())

        odd = [other for other in path.parents[1].rglob("*") if other not in known or not plain(other)]
        odd += [other for other in (Path("/escaped"), Path("escaped")) if other.exists()]
        return f"left {odd}" if odd else ""

    hold_law(title, make(tmp_path / "whole"), task, after)
