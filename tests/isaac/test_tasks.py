"""Every task through gym.make on Isaac Lab's own classes, over the stand-ins of `isaac_standin`."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pxr", reason="needs Isaac Lab: make test-isaaclab")

import gymnasium
import torch
from isaaclab_tasks.utils import parse_env_cfg

from g1_vq_retarget.tasks.isaaclab import PLAYBACK_TASK, TASKS, TRACKING_TASK, TRACKING_TASKS
from isaac_environments import tracking_env
from isaac_standin.assets import write_urdf


@pytest.mark.parametrize(("task", "urdf"), [(TRACKING_TASK, False), *((task, True) for task in TRACKING_TASKS)])
def test_a_hundred_steps_of_tracking_are_finite(task: str, urdf: bool, motion: Path, tmp_path: Path) -> None:
    env = tracking_env(task, motion, urdf=write_urdf(tmp_path / "g1.urdf") if urdf else None)
    assert env.scene["robot"].num_joints == (29 if urdf else 43)
    assert env.action_manager.total_action_dim == 29
    seen, _ = env.reset()
    assert seen["policy"].shape == (3, 154 if "Wo-State-Estimation" in task else 160)
    assert seen["critic"].shape == (3, 286)
    for _ in range(100):
        seen, reward, _, _, _ = env.step(0.1 * torch.randn(3, 29))
        assert all(torch.isfinite(part).all() for part in (*seen.values(), reward))
    env.close()


def test_a_hundred_steps_of_the_playback_are_finite(playbacks: list[Path]) -> None:
    cfg: Any = parse_env_cfg(PLAYBACK_TASK, device="cpu", num_envs=2)
    cfg.show(*map(str, playbacks))
    env = gymnasium.make(PLAYBACK_TASK, cfg=cfg)
    env.reset()
    for _ in range(100):
        seen, reward, failed, over, _ = env.step(torch.zeros(env.action_space.shape))
        assert torch.isfinite(seen["policy"]).all()
        assert not reward.any()
        assert not failed.any()
        assert not over.any()
    env.close()


@pytest.mark.parametrize("task", TASKS)
def test_configurations_are_valid_and_survive_being_written(task: str) -> None:
    from g1_vq_retarget.tasks.isaaclab.runs import configured

    cfg, agent = configured(task, ["env.scene.num_envs=7"])
    cfg.validate()
    assert cfg.scene.num_envs == 7
    assert (agent is None) == (task == PLAYBACK_TASK)
    again = type(cfg)()
    again.from_dict(cfg.to_dict())
    assert again.to_dict() == cfg.to_dict()


def test_the_extensions_modules_can_be_imported() -> None:
    extension = Path(__file__).parents[2] / "exts/g1_vq_retarget"
    manifest = tomllib.loads((extension / "config/extension.toml").read_text(encoding="utf-8"))
    names = [module["name"] for module in manifest["python"]["module"]]
    assert names == ["g1_vq_retarget", "g1_vq_retarget.tasks.isaaclab"]
    for name in names:
        importlib.import_module(name)
    assert set(TASKS) <= set(gymnasium.registry)
    for file in ("readme", "changelog"):
        assert (extension / manifest["package"][file]).is_file()
