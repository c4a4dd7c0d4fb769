"""Isaac Lab's adapter: importing it registers the tasks with gymnasium; what they are made of is imported when used.

Quaternions are w x y z, as everywhere here and in Isaac Lab 2.3. Joints and bodies are found by name, and go by this
package's order in actions and observations, whatever the simulator's order is.
"""

from importlib import metadata

from g1_vq_retarget.errors import UserError

try:
    metadata.version("isaaclab")
    import gymnasium
except ImportError as error:
    raise UserError(
        f"Isaac Lab is needed ({error}): run this by isaaclab.sh -p, "
        "after isaaclab.sh -p -m pip install -e '.[isaaclab]'"
    ) from error

PLAYBACK_TASK = "G1-VQ-Playback-v0"
TRACKING_TASK, PLAY_TASK = "G1-VQ-Tracking-Flat-v0", "G1-VQ-Tracking-Flat-Play-v0"
# By name, the class of the environments' configuration in `g1`.
_TRACKING = {
    TRACKING_TASK: "G1FlatTrackingEnvCfg",
    PLAY_TASK: "G1FlatTrackingPlayEnvCfg",
    "G1-VQ-Tracking-Flat-Wo-State-Estimation-v0": "G1FlatTrackingWoStateEstimationEnvCfg",
    "G1-VQ-Tracking-Flat-Wo-State-Estimation-Play-v0": "G1FlatTrackingWoStateEstimationPlayEnvCfg",
}
TRACKING_TASKS = tuple(_TRACKING)
TASKS = (PLAYBACK_TASK, *TRACKING_TASKS)


def play_task(task: str) -> str:
    """The variant to play of a task."""
    return task if "-Play-" in task else task.replace("-v0", "-Play-v0")


gymnasium.register(
    id=PLAYBACK_TASK,
    entry_point=f"{__name__}.playback:PlaybackEnv",
    disable_env_checker=True,
    kwargs={"env_cfg_entry_point": f"{__name__}.playback:PlaybackEnvCfg"},
)
for task, configuration in _TRACKING.items():
    gymnasium.register(
        id=task,
        entry_point="isaaclab.envs:ManagerBasedRLEnv",
        disable_env_checker=True,
        kwargs={
            "env_cfg_entry_point": f"{__name__}.g1:{configuration}",
            "rsl_rl_cfg_entry_point": f"{__name__}.ppo:TrackingPPORunnerCfg",
        },
    )
