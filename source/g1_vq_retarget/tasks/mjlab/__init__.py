"""mjlab's adapter: importing it registers the tasks, which mjlab does by the entry point in this package's metadata."""

from mjlab.tasks.registry import register_mjlab_task

from g1_vq_retarget.tasks.mjlab.playback import PLAYBACK_TASK, playback_env_cfg, playback_rl_cfg

register_mjlab_task(
    task_id=PLAYBACK_TASK,
    env_cfg=playback_env_cfg(),
    play_env_cfg=playback_env_cfg(),
    rl_cfg=playback_rl_cfg(),
)
