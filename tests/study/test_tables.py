from __future__ import annotations

import csv
import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.study import original
from g1_vq_retarget.study.experiments import by_protocol
from g1_vq_retarget.study.export import export_tables
from g1_vq_retarget.study.log import StudyLog
from g1_vq_retarget.study.table_formats import FORMATS, to_csv, to_latex, to_markdown
from g1_vq_retarget.study.tables import Table, beside_original, final_table
from study_logs import study_log

LOGS = [
    study_log("resnet_ema", 42, recon=0.10, jerk=0.0005, jerk_ratio=0.5, perplexity=[100.0]),
    study_log("resnet_ema", 999, recon=0.14, jerk=0.0005, jerk_ratio=0.5, perplexity=[100.0]),
    study_log("resnet_fsq", 42, label="A_b & 50%", rate=125.0, recon=0.2, jerk=0.0012, jerk_ratio=1.2),
]


def table(logs: list[StudyLog]) -> Table:
    (experiments,) = by_protocol(logs).values()
    return final_table(experiments)


def cells(markdown: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("| ")]


def test_markdown_has_mean_deviation_arrows_rate_and_the_best_in_bold() -> None:
    text = to_markdown(table(LOGS))
    header, ema, fsq = cells(text)
    ema, fsq = dict(zip(header, ema, strict=True)), dict(zip(header, fsq, strict=True))
    assert ema["recon ↓"] == "**0.1200 ± 0.0283**"  # (0.02² + 0.02²) / (2 - 1)
    assert fsq["recon ↓"] == "0.2000"
    assert fsq["PPL ↑"] == "**150.0**"
    assert (ema["bits/s"], fsq["bits/s"], ema["seeds"]) == ("500", "125", "2")
    # the same figure for all is nobody's best
    assert ema["cross ↓"] == "0.2000 ± 0.0000"
    assert "held-out clips (test split)" in text
    assert "compar" in text.splitlines()[-1]  # rates differ


def test_the_best_jerk_is_nearest_to_the_truths_not_the_least() -> None:
    header, ema, fsq = cells(to_markdown(table(LOGS)))
    ema, fsq = dict(zip(header, ema, strict=True)), dict(zip(header, fsq, strict=True))
    assert (ema["jerk"], ema["jerk ratio →1"]) == ("0.0005 ± 0.0000", "0.50 ± 0.00")
    assert (fsq["jerk"], fsq["jerk ratio →1"]) == ("**0.0012**", "**1.20**")
    assert "The truth's is 0.001." in to_markdown(table(LOGS))


def test_csv_gives_back_what_was_measured_and_names_the_split() -> None:
    ema, fsq = csv.DictReader(io.StringIO(to_csv(table(LOGS))))
    assert float(ema["test_recon"]) == pytest.approx(0.12)
    assert float(ema["test_recon_std"]) == pytest.approx(0.0008**0.5)
    assert (fsq["method"], fsq["test_recon_std"], fsq["bits_per_second"]) == ("A_b & 50%", "", "125")
    (seed,) = csv.DictReader(io.StringIO(to_csv(table([study_log(protocol="seed")]))))
    assert not [name for name in seed if name.startswith("test_")]
    assert float(seed["train_recon"]) == 0.02


def test_a_column_that_nobody_has_is_left_out_and_one_that_some_lack_has_a_dash() -> None:
    header, *_ = cells(to_markdown(table([study_log(body_error_mm=None)])))
    assert "bodies, mm ↓" not in header
    assert "human bodies, mm ↓" in header
    header, _, lacking = cells(to_markdown(table([study_log(), study_log("resnet_fsq", cross=None)])))
    assert lacking[header.index("cross ↓")] == "–"


def test_latex_is_a_booktabs_table_of_even_rows() -> None:
    text = to_latex(table(LOGS))
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\textbf{0.1200 $\pm$ 0.0283}", r"A\_b \& 50\%",
                 r"\label{tab:heldout}", r"recon $\downarrow$", r"PPL $\uparrow$"):  # fmt: skip
        assert word in text
    body = [line.replace(r"\&", "") for line in text.splitlines() if line.endswith(r" \\")]
    # two blocks of a header and two variants: bits/s, seeds and five figures, then the other five
    assert [line.count("&") for line in body] == [7, 7, 7, 5, 5, 5]
    assert [line.split(" & ")[0] for line in body] == 2 * ["method", "ResNet+EMA", r"A\_b \& 50\%".replace(r"\&", "")]
    assert text.isascii()


def test_latex_compiles(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex")
    seed = [study_log(protocol="seed", label="weird_label {$^~#\\"), study_log("simple_ema", protocol="seed")]
    written, _ = export_tables([*LOGS, *seed], tmp_path, ["tex"], original=True)
    inputs = "".join(rf"\input{{{path.stem}}}" for path in written)
    document = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{inputs}\end{{document}}"
    (tmp_path / "main.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"],
        cwd=tmp_path, capture_output=True, text=True, encoding="latin-1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "main.pdf").stat().st_size
    assert "Overfull \\hbox" not in done.stdout


def test_a_budget_of_minutes_tells_how_many_epochs_it_was() -> None:
    timed = [replace(study_log(seed=seed, epochs=epochs), budget={"minutes": 9.0}) for seed, epochs in ((1, 4), (2, 6))]
    header, row = cells(to_markdown(table(timed)))
    assert row[header.index("epochs")] == "5"
    assert "epochs" not in cells(to_markdown(table(LOGS)))[0]


def test_who_codes_whole_clips_beside_those_who_do_not_is_told() -> None:
    clips = study_log("predictive", label="Predictive", coding="clips")
    assert "Predictive: whole clips are coded" in to_markdown(table([*LOGS, clips]))
    assert "whole clips" not in to_markdown(table([clips]))
    assert "whole clips" not in to_markdown(table(LOGS))


def test_ours_stands_beside_the_originals_and_neither_is_ranked_against_the_other() -> None:
    logs = [
        study_log("simple_ema", protocol="seed", label="Baseline(Simple)", recon=0.001),
        study_log("resnet_hybrid", protocol="seed", label="Ours(Dual-Enc+Hybrid)", recon=0.002),
        study_log("motionvqvae", protocol="seed", label="other", recon=0.003),
    ]
    (experiments,) = by_protocol(logs).values()
    text = to_markdown(beside_original(experiments))
    header, *rows = cells(text)
    recon = {(row[0], row[1]): row[header.index("recon ↓")] for row in rows}
    assert recon["Baseline(Simple)", "original"] == "0.0457 ± 0.0027"
    assert recon["Baseline(Simple)", "ours"] == "**0.0010**"
    assert recon["Ours(Dual-Enc+Hybrid)", "original"] == "**0.0120 ± 0.0006**"
    assert recon["Ours(Dual-Enc+Hybrid), in its text", "original"] == "0.0081"
    assert [tuple(row[:2]) for row in rows][:2] == [("Baseline(Simple)", "original"), ("Baseline(Simple)", "ours")]
    assert rows[-1][:2] == ["other", "ours"]
    assert len(rows) == len(original.TABLE) + 1 + len(logs)
    # of its rates nothing is known
    assert {row[header.index("bits/s")] for row in rows if row[1] == "original"} == {"–"}
    assert "200 windows, 50 of them with a human side" in text
    for deviation in original.DEVIATIONS:
        assert deviation in text


def test_a_table_a_protocol_in_every_format_and_runs_not_finished_are_told(tmp_path: Path) -> None:
    logs = [*LOGS, study_log(protocol="seed"), study_log("resnet_lfq", complete=False)]
    written, missing = export_tables(logs, tmp_path)
    assert {path.name for path in written} == {f"{name}.{suffix}" for name in ("heldout", "seed") for suffix in FORMATS}
    assert missing == ["resnet_lfq seed 42 (heldout): not finished, not in the final figures"]
    assert "0.1200" not in (tmp_path / "seed.md").read_text()


def test_what_cannot_be_told_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected one or more of tex, md, csv"):
        export_tables(LOGS, tmp_path, ["html"])
    with pytest.raises(UserError, match="--protocol seed"):
        export_tables(LOGS, tmp_path, original=True)
    with pytest.raises(UserError, match="no run of the study is finished"):
        export_tables([study_log(complete=False)], tmp_path)
    assert not list(tmp_path.iterdir())
