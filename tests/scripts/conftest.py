from __future__ import annotations

import pytest

from running import Outcome, Script, World, run_script
from synthetic import write_motion_files

# a model of a few thousand numbers
TINY = """
label: tiny
epochs: 1
batch_size: 16
pairs: 4
model:
  network: {latent_dim: 8, width: 16, depth: 1, downsample: 4, smoothing: 4}
  quantizer: {kind: hybrid, fsq_levels: [[5, 4], [3]], levels: 2, codebook_size: 8, kmeans_iters: 3}
"""


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str]) -> Script:
    """Run a script by name; flags that are paths may be given as such."""

    def call(name: str, *args: object) -> Outcome:
        capsys.readouterr()
        return run_script(name, args, capsys)

    return call


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    motion = write_motion_files(root / "motion")
    world = World(motion, root / "data", root / "run", root / "tiny.yaml")
    world.config.write_text(TINY)
    process = (
        "--robot-dir", motion / "g1", "--human-dir", motion / "bvh", "--split", motion / "split.json",
        "--window", 16, "--stride", 8, "--out", world.data,
    )  # fmt: skip
    assert run_script("data/process_data", process).code == 0
    assert run_script("train_vq", ("--config", world.config, "--data", world.data, "--run", world.run)).code == 0
    return world
