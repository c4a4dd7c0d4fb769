"""inspect_motion.py under the name it has in the original project."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).with_name("inspect_motion.py")), run_name="__main__")
