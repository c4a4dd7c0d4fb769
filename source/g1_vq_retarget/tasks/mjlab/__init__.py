"""mjlab's adapter: importing it registers the tasks, which mjlab does by the entry point in this package's metadata."""

from g1_vq_retarget.errors import UserError

try:
    from mjlab.tasks.registry import register_mjlab_task
except ImportError as error:
    raise UserError(f"mjlab is needed, and all that it needs: pip install 'g1_vq_retarget[mjlab]' ({error})") from error

from g1_vq_retarget.tasks.mjlab.playback import PLAYBACK_TASK, playback_env_cfg, playback_rl_cfg
from g1_vq_retarget.tasks.mjlab.runs import TrackingRunner
from g1_vq_retarget.tasks.mjlab.tracking import tracking_env_cfg, tracking_rl_cfg
from g1_vq_retarget.tasks.tracking_config import NO_STATE_ESTIMATION_TASK, TRACKING_TASK

register_mjlab_task(
    task_id=PLAYBACK_TASK,
    env_cfg=playback_env_cfg(),
    play_env_cfg=playback_env_cfg(),
    rl_cfg=playback_rl_cfg(),
)
for task_id, state_estimation in ((TRACKING_TASK, True), (NO_STATE_ESTIMATION_TASK, False)):
    register_mjlab_task(
        task_id=task_id,
        env_cfg=tracking_env_cfg(state_estimation=state_estimation),
        play_env_cfg=tracking_env_cfg(state_estimation=state_estimation, play=True),
        rl_cfg=tracking_rl_cfg(),
        runner_cls=TrackingRunner,
    )
