"""What is made of the logs of a study, by the scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from g1_vq_retarget.study.rate_plot import read_classical
from running import Script, World
from study_logs import study_log, write_logs


@pytest.fixture
def results(tmp_path: Path) -> Path:
    logs = [study_log(seed=seed, protocol="seed") for seed in (42, 999)]
    logs += [study_log("resnet_fsq", seed, label="FSQ", rate=136.0, recon=0.3) for seed in (42, 999)]
    return write_logs(tmp_path / "results", logs)


@pytest.mark.slow
def test_all_pictures_of_each_protocol_as_png_and_pdf(results: Path, tmp_path: Path, script: Script) -> None:
    outcome = script("evaluation/plot_results", "--results", results, "--out", tmp_path / "plots")
    assert outcome.code == 0, outcome.err
    names = {f"compare_{name}" for name in ("recon", "cross", "align", "vel", "vq", "jerk", "ppl", "dcr")}
    names |= {"loss_breakdown", "final_radar_chart", "final_radar_chart_log", "rate_distortion"}
    for protocol in ("seed", "heldout"):
        for suffix, magic in ((".png", b"\x89PNG"), (".pdf", b"%PDF")):
            files = list((tmp_path / "plots" / protocol).glob(f"*{suffix}"))
            assert {path.stem for path in files} == names
            assert all(path.read_bytes().startswith(magic) for path in files)


def test_chosen_metrics_and_experiments_alone(results: Path, tmp_path: Path, script: Script) -> None:
    plots = tmp_path / "plots"
    chosen = ("--metrics", "vel", "--experiments", "resnet_fsq", "--out", plots)
    outcome = script("evaluation/plot_results", "--results", results, *chosen)
    assert outcome.code == 0, outcome.err
    files = {path.relative_to(plots).as_posix() for path in plots.rglob("*.*")}
    assert files == {"heldout/compare_vel.png", "heldout/compare_vel.pdf"}


@pytest.mark.slow
def test_the_curves_that_evaluate_leaves_lie_beneath_the_variants(
    results: Path, world: World, tmp_path: Path, script: Script
) -> None:
    picture, plots = tmp_path / "rd.png", tmp_path / "plots"
    measured = ("--checkpoint", world.run, "--data", world.data, "--split", "test", "--rate-distortion", picture)
    assert script("evaluate", *measured).code == 0
    classical = read_classical(tmp_path / "rd.json")
    assert (classical.protocol, classical.split, classical.root) == ("heldout", "test", True)
    assert all(len(curve) > 1 for curve in classical.curves.values())
    flags = ("--rate-distortion", tmp_path / "rd.json", "--experiments")
    outcome = script("evaluation/plot_results", "--results", results, "--out", plots, *flags, "resnet_fsq")
    assert outcome.code == 0, outcome.err
    assert (plots / "heldout" / "rate_distortion.png").exists()
    # of protocol seed there is nothing that those curves may stand beside
    outcome = script("evaluation/plot_results", "--results", results, "--out", plots, *flags, "resnet_ema")
    assert outcome.code == 2
    assert "--rate-distortion" in outcome.err


@pytest.mark.slow
def test_a_study_its_pictures_and_its_tables(world: World, tmp_path: Path, script: Script) -> None:
    presets = [tmp_path / f"{name}.yaml" for name in ("one", "two")]
    for preset in presets:
        preset.write_text(world.config.read_text().replace("label: tiny", f"label: {preset.stem}"))
    study = ("--variants", *presets, "--seeds", 1, 2, "--epochs", 2, "--data", world.data)
    outcome = script("train_ablation", *study, "--results", tmp_path / "r", "--checkpoints", tmp_path / "c")
    assert outcome.code == 0, outcome.err
    outcome = script("evaluation/plot_results", "--results", tmp_path / "r", "--out", tmp_path / "plots")
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("not drawn, no epoch of any run tells ") == 2  # val has no human side: cross, align
    assert len(list((tmp_path / "plots" / "heldout").iterdir())) == 20
    outcome = script("evaluation/export_latex_table", "--results", tmp_path / "r", "--out", tmp_path / "tables")
    assert outcome.code == 0, outcome.err
    rows = [line for line in (tmp_path / "tables" / "heldout.md").read_text().splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[2] for row in rows] == ["seeds", "2", "2"]
    assert "–" not in "".join(rows)


def test_tables_in_three_formats_and_the_originals(results: Path, tmp_path: Path, script: Script) -> None:
    tables = tmp_path / "tables"
    outcome = script("evaluation/export_latex_table", "--results", results, "--out", tables, "--beside-original")
    assert outcome.code == 0, outcome.err
    stems = ("heldout", "seed", "seed_beside_original")
    assert {path.name for path in tables.iterdir()} == {
        f"{s}.{suffix}" for s in stems for suffix in ("tex", "md", "csv")
    }


@pytest.mark.parametrize("name", ["evaluation/plot_results", "evaluation/export_latex_table"])
@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--results", "nowhere"), "nowhere: no log_"),
        (("--experiments", "resnet_x"), "--experiments resnet_x: no log of it; there are resnet_ema, resnet_fsq"),
    ],
)
def test_one_line_for_a_mistake(
    name: str, flags: tuple[str, str], word: str, results: Path, tmp_path: Path, script: Script
) -> None:
    given = flags if "--results" in flags else ("--results", results, *flags)
    outcome = script(name, *given, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert word in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_unreadable_log_and_an_unknown_metric(results: Path, tmp_path: Path, script: Script) -> None:
    outcome = script("evaluation/plot_results", "--results", results, "--metrics", "fid", "--out", tmp_path / "out")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "--metrics fid: unknown; there are recon, cross, align, vel, vq, jerk, ppl, dcr" in outcome.err
    damaged = results / "log_resnet_fsq_seed_42.json"
    damaged.write_text(damaged.read_text()[:100])
    outcome = script("evaluation/plot_results", "--results", results, "--out", tmp_path / "out")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert str(damaged) in outcome.err
    assert not (tmp_path / "out").exists()
