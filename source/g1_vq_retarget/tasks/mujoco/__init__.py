"""Plain MuJoCo on the processor, one robot: what a policy does outside the simulator that it was trained in."""

from g1_vq_retarget.errors import UserError

try:
    import mujoco  # noqa: F401
except ImportError as error:
    raise UserError(f"mujoco is needed: pip install 'g1_vq_retarget[deployment]' ({error})") from error
