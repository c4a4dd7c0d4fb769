"""What is exported does what the model does, at any length, and says what it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from g1_vq_retarget.data.features import human_root, robot_root
from g1_vq_retarget.data.folder import DataFolder
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models import ModelConfig
from g1_vq_retarget.motion import HumanClip, RobotClip
from g1_vq_retarget.retarget import Retargeter, exported_check, graphs
from g1_vq_retarget.retarget.exported import BACKENDS, CARD, Backend, ExportedTokenizer, as_text, file_of
from g1_vq_retarget.retarget.exported_check import Agreement, check, table, verify
from g1_vq_retarget.retarget.tokenizer_export import export_tokenizer
from g1_vq_retarget.training.checkpoint import Checkpoint, load_checkpoint
from running import run_script
from synthetic import human_clip, robot_clip, save_started, tiny_model, write_motion_files

onnx = pytest.importorskip("onnx", reason="needs pip install -e '.[deployment]'")
pytest.importorskip("onnxruntime", reason="needs pip install -e '.[deployment]'")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def config(kind: str, downsample: int = 4, causal: bool = False, network: str = "resnet") -> ModelConfig:
    made = tiny_model(kind, downsample, beam=3 if kind == "predictive" else 1)
    made.network.kind = network  # type: ignore[assignment]
    made.network.causal = causal
    made.network.knows_levels = network == "resnet"
    if kind == "predictive" and network == "resnet":
        made.network.robot_encoder = "klt"
    return made


def checkpoint_of(made: ModelConfig, folder: DataFolder, path: Path) -> Checkpoint:
    return load_checkpoint(save_started(path / "best.safetensors", folder, made))


@pytest.fixture(scope="module")
def checkpoint(folder: DataFolder, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoint_of(config("predictive", causal=True), folder, tmp_path_factory.mktemp("causal"))


@pytest.fixture(scope="module")
def exported(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> ExportedTokenizer:
    parts: list[graphs.Part] = ["human_encoder", "decoder", "step"]
    return export_tokenizer(checkpoint, tmp_path_factory.mktemp("exported") / "tokenizer", parts)


@pytest.fixture
def damaged(exported: ExportedTokenizer, tmp_path: Path) -> Path:
    """A copy to be spoiled."""
    return Path(shutil.copytree(exported.path, tmp_path / "damaged"))


CLIPS: list[HumanClip | RobotClip] = [human_clip(61, 4, fps=50.0), robot_clip(62, 5)]


def assert_same(checkpoint: Checkpoint, exported: ExportedTokenizer) -> None:
    found = verify(checkpoint, exported, CLIPS)
    assert {(one.part, one.backend) for one in found} == {(p, b) for p in exported.parts for b in BACKENDS}
    for one in found:
        assert one.steps > 0
        assert one.share == 1
        assert one.ties == 0
        assert one.motion < 1e-5
    check(found, exported)


def test_files_do_what_the_model_does(checkpoint: Checkpoint, exported: ExportedTokenizer) -> None:
    assert_same(checkpoint, exported)


def test_a_causal_model_has_all_parts(checkpoint: Checkpoint, tmp_path: Path) -> None:
    exported = export_tokenizer(checkpoint, tmp_path / "out")
    assert exported.parts == graphs.PARTS
    assert_same(checkpoint, exported)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["standard", "ema_reset", "rvq", "fsq", "lfq", "hybrid", "predictive"])
@pytest.mark.parametrize("network", ["resnet", "simple"])
def test_every_vocabulary_and_network(kind: str, network: str, folder: DataFolder, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(config(kind, network=network), folder, tmp_path)
    exported = export_tokenizer(checkpoint, tmp_path / "out")
    assert exported.parts == ("human_encoder", "robot_encoder", "decoder", "retarget")
    assert_same(checkpoint, exported)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rvq", "predictive"])
def test_a_step_for_each_frame(kind: str, folder: DataFolder, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(config(kind, 1, causal=True), folder, tmp_path)
    assert_same(checkpoint, export_tokenizer(checkpoint, tmp_path / "out", ["step", "decoder"]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_number_of_rows_and_frames(backend: Backend, checkpoint: Checkpoint, exported: ExportedTokenizer) -> None:
    encode, decode = exported.load("human_encoder", backend), exported.load("decoder", backend)
    human = np.random.default_rng(0).normal(size=(3, 50, 133)).astype(np.float32)
    (tokens,) = encode(human)
    (motion,) = decode(tokens)
    assert tokens.shape == (3, 13, 2)
    assert motion.shape == (3, 52, 36)
    for row in range(3):
        (alone,) = encode(human[row : row + 1])
        np.testing.assert_array_equal(alone[0], tokens[row])
        np.testing.assert_allclose(decode(alone)[0][0], motion[row], atol=1e-5)
    # of a causal model, what comes later changes nothing
    np.testing.assert_array_equal(encode(human[:, :24])[0], tokens[:, :6])
    with pytest.raises(UserError, match=r"human_encoder.* does not run on \(1, 50, 7\)"):
        encode(human[:1, :, :7])


@pytest.mark.parametrize("backend", BACKENDS)
def test_features_are_in_units_of_the_world(
    backend: Backend, checkpoint: Checkpoint, exported: ExportedTokenizer
) -> None:
    """What `Retargeter` makes of a clip comes of what the columns say, unnormalised."""
    human, retargeter = human_clip(40, 4, fps=50.0), Retargeter(checkpoint.path)
    columns = np.concatenate([human.rotation_features(), human_root(human)], 1, dtype=np.float32)
    (tokens,) = exported.load("human_encoder", backend)(columns[None])
    result = retargeter.retarget(human)
    np.testing.assert_array_equal(tokens[0], result.tokens.tokens)
    (motion,) = exported.load("decoder", backend)(tokens)
    robot = result.motion
    lower, upper = retargeter.robot.limits.T  # type: ignore[union-attr]
    np.testing.assert_allclose(np.clip(motion[0, :, :29], lower, upper), robot.joint_pos, atol=1e-5)
    for column in ("root.height", "root.yaw_rate"):
        at = exported.card["robot_columns"].index(column)
        np.testing.assert_allclose(motion[0, :-1, at], robot_root(robot)[:-1, at - 29], atol=1e-5)


def test_fewer_levels(checkpoint: Checkpoint, tmp_path: Path) -> None:
    exported = export_tokenizer(checkpoint, tmp_path / "out", ["decoder"], levels=1)
    assert exported.card["levels"] == 1
    assert exported.card["codebook_sizes"] == [8]
    assert exported.card["bits_per_second"] == pytest.approx(3 * 12.5)
    assert_same(checkpoint, exported)


def test_all_files_say_the_same(checkpoint: Checkpoint, exported: ExportedTokenizer) -> None:
    card = json.loads((exported.path / CARD).read_text())
    assert card == exported.card
    assert card["weights_sha256"] == checkpoint.info["weights_sha256"]
    assert card["licences"] == checkpoint.info["licences"] != []
    assert (card["fps"], card["steps_per_second"], card["lookahead_frames"]) == (50.0, 12.5, 3)
    assert len(card["human_columns"]) == len(card["human_mean"]) == len(card["human_std"]) == 133
    assert card["human_columns"][6:8] == ["right_hip.r00", "right_hip.r10"]
    assert card["robot_columns"][:29] == card["joint_names"]
    assert card["robot_columns"][29] == "root.height"
    for part in exported.parts:
        own = {key: value for key, value in card["parts"][part].items() if key != "sha256"}
        told = {key: value for key, value in card.items() if key != "parts"} | own
        model = onnx.load(exported.path / file_of(part, "onnx"))
        assert {entry.key: entry.value for entry in model.metadata_props} == as_text(told)
        files = {CARD: ""}
        torch.jit.load(str(exported.path / file_of(part, "torchscript")), _extra_files=files)
        assert json.loads(files[CARD]) == told
        for ports, values in ((own["inputs"], model.graph.input), (own["outputs"], model.graph.output)):
            shapes = [[size.dim_param or size.dim_value for size in one.type.tensor_type.shape.dim] for one in values]
            assert [(port["name"], port["shape"]) for port in ports] == list(
                zip((one.name for one in values), shapes, strict=True)
            )


def test_the_state_of_a_step_has_names(exported: ExportedTokenizer) -> None:
    step = exported.card["parts"]["step"]
    names = [port["name"] for port in step["inputs"]]
    assert names[0] == "human"
    assert names[1:3] == ["state_0", "state_1"]
    assert [port["name"] for port in step["outputs"]] == ["robot", "tokens", *(f"next_{name}" for name in names[1:])]
    assert [port["shape"] for port in step["outputs"][2:]] == [port["shape"] for port in step["inputs"][1:]]


def test_tokens_are_held_against_those_after_the_same_past(checkpoint: Checkpoint) -> None:
    truth = exported_check._Truth(checkpoint, levels=2)
    with torch.inference_mode():
        latent = truth.latent(torch.randn(2, 160, 36, generator=torch.Generator().manual_seed(3)), human=False)
        own = checkpoint.model.quantize(latent).tokens
        assert torch.equal(truth.coded(latent, own)[0], own)
        # another code at step 5: it alone is not the model's, and what the model gives afterwards goes on from it
        spoilt = own.clone()
        spoilt[:, 5, 0] = (own[:, 5, 0] + 1) % 8
        expected, tied = truth.coded(latent, spoilt)
    assert torch.equal(expected[:, :6], own[:, :6])
    assert not torch.equal(expected[:, 6:], own[:, 6:])
    assert not tied.any()


def test_what_rounding_decides_is_a_near_tie(checkpoint: Checkpoint) -> None:
    """A latent in the middle between two codes is either's; a thousandth of the way from there, it is not."""
    model = load_checkpoint(checkpoint.path).model
    spec = checkpoint.spec
    truth = exported_check._Truth(Checkpoint(model, spec, checkpoint.info, checkpoint.path), levels=1)
    quantizer = model.quantizer
    with torch.inference_mode():
        mean, deviation = quantizer.prediction(quantizer.begin(1)[0].flatten(1))  # type: ignore[operator]
        codes = (mean + deviation * quantizer.codebooks[0]).float()  # type: ignore[index]
        first, second = sorted(range(8), key=lambda code: float((codes[code] - codes[0]).norm()))[:2]
        for share, expected in ((0.5, True), (0.501, False)):
            latent = codes[first] * share + codes[second] * (1 - share)
            both = torch.tensor([first, second])[:, None, None]
            tokens, tied = truth.coded(latent.expand(2, 1, -1), both)
            assert (tokens != both).sum() == 1
            assert tied.any() == expected
            assert not tied[(tokens == both)[..., 0]].any()


def test_a_model_that_is_not_the_same_is_told(checkpoint: Checkpoint, exported: ExportedTokenizer) -> None:
    other = load_checkpoint(checkpoint.path)
    with torch.no_grad():
        other.model.decoder.get_parameter("linear.bias").add_(1e-2)
    found = {one.part: one for one in verify(other, exported, CLIPS) if one.backend == "onnx"}
    assert found["decoder"].motion > 1e-4
    with pytest.raises(UserError, match=r"decoder\.onnx: .* motion is .* off"):
        check([found["decoder"]], exported)
    with torch.no_grad():
        other.model.human_encoder.get_parameter("linear.bias").add_(1.0)
    found = {one.part: one for one in verify(other, exported, CLIPS[:1]) if one.backend == "torchscript"}
    assert found["human_encoder"].share < 0.9
    with pytest.raises(UserError, match=r"human_encoder\.pt: .* of its tokens are the model's"):
        check([found["human_encoder"]], exported)


def test_a_clip_that_the_model_makes_nothing_of_is_told(checkpoint: Checkpoint, exported: ExportedTokenizer) -> None:
    other = load_checkpoint(checkpoint.path)
    with torch.no_grad():
        other.model.decoder.get_parameter("linear.bias").fill_(torch.nan)
    with pytest.raises(UserError, match="robot: the model itself decodes no motion"):
        verify(other, exported, CLIPS[1:])


def test_what_is_no_number_is_not_the_same(exported: ExportedTokenizer) -> None:
    assert Agreement("decoder", "onnx", steps=3).holds()
    assert not Agreement("decoder", "onnx", steps=3, motion=float("nan")).holds()
    assert not Agreement("retarget", "onnx", tokens=10000, same=9998).holds()
    assert Agreement("retarget", "onnx", tokens=10000, same=9999).holds()
    assert Agreement("retarget", "onnx", tokens=10000, same=9990, tied=9).holds()
    assert "99.9900 %" in table([Agreement("retarget", "onnx", tokens=10000, same=9999)])


def test_a_length_that_a_trace_holds_is_told(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.jit, "script", lambda module: module)  # the loop is traced, too
    with pytest.raises(UserError, match=r"out is not written: .*decoder\.pt: does not run on \(1, 1, 2\)"):
        export_tokenizer(checkpoint, tmp_path / "out", ["decoder"])
    assert not (tmp_path / "out").exists()


def test_damage_is_told(damaged: Path, checkpoint: Checkpoint, folder: DataFolder, tmp_path: Path) -> None:
    path = damaged / "decoder.onnx"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"decoder\.onnx: is not the file that tokenizer\.json was written with"):
        ExportedTokenizer(damaged).load("decoder", "onnx")
    card = json.loads((damaged / CARD).read_text())
    card["joint_names"].reverse()
    (damaged / CARD).write_text(json.dumps(card))
    for backend in BACKENDS:
        with pytest.raises(UserError, match="tells another joint_names than"):
            ExportedTokenizer(damaged).load("step", backend)
    (damaged / "step.pt").unlink()
    with pytest.raises(UserError, match=r"step\.pt: no such file"):
        ExportedTokenizer(damaged).load("step", "torchscript")
    (damaged / CARD).write_text(json.dumps(card | {"format_version": 0}))
    with pytest.raises(UserError, match=r"is no g1_vq_retarget\.tokenizer of version 1"):
        ExportedTokenizer(damaged)
    with pytest.raises(UserError, match=r"tokenizer\.json: no such file"):
        ExportedTokenizer(tmp_path)
    other = checkpoint_of(config("rvq"), folder, tmp_path)
    (damaged / CARD).write_text(json.dumps(card))
    with pytest.raises(UserError, match="was made of other weights than"):
        verify(other, ExportedTokenizer(damaged), CLIPS)


def test_what_a_model_does_not_have_is_told(
    checkpoint: Checkpoint, weights: Path, exported: ExportedTokenizer, tmp_path: Path
) -> None:
    ahead = load_checkpoint(weights)
    with pytest.raises(UserError, match="has no step, since it looks ahead; it has human_encoder"):
        export_tokenizer(ahead, tmp_path / "out", ["decoder", "step"])
    ahead.info["human_windows"] = 0
    assert graphs.parts_of(ahead) == ("robot_encoder", "decoder")
    with pytest.raises(UserError, match="has no retarget, since it was trained without human motion"):
        export_tokenizer(ahead, tmp_path / "out", ["retarget"])
    ahead.model.config.quantizer.beam = 2
    with pytest.raises(UserError, match="hybrid cannot be exported with a beam of 2, but for its decoder"):
        export_tokenizer(ahead, tmp_path / "out", ["robot_encoder"])
    with pytest.raises(UserError, match="levels must be 1 to 2"):
        export_tokenizer(checkpoint, tmp_path / "out", levels=3)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds notes\.txt"):
        export_tokenizer(checkpoint, tmp_path, ["decoder"])


def test_the_scripts(checkpoint: Checkpoint, damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    motion = write_motion_files(tmp_path / "motion", 60)
    clips = (motion / "bvh" / "dance.bvh", motion / "g1" / "walk.csv")
    out = tmp_path / "out"
    flags = ("--checkpoint", checkpoint.path, "--output", out, "--parts", "human_encoder", "decoder")
    done = run_script("deployment/export_tokenizer", (*flags, "--verify", clips[0]), capsys)
    assert done.code == 0, done.err
    assert "2 tokens a step, 12.5 steps/s, 75 bits/s" in done.out
    assert "licence of what it was trained on: CC0" in done.out
    assert done.out.count("100.0000 %") == 2
    flags = ("--checkpoint", checkpoint.path, "--clips", *clips)
    done = run_script("deployment/verify_tokenizer", ("--tokenizer", out, *flags), capsys)
    assert done.code == 0, done.err
    assert [line.split()[:2] for line in done.out.splitlines()[1:]] == [
        [part, backend] for part in ("human_encoder", "decoder") for backend in BACKENDS
    ]
    (damaged / "decoder.pt").write_bytes(b"nothing")
    done = run_script("deployment/verify_tokenizer", ("--tokenizer", damaged, *flags), capsys)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
