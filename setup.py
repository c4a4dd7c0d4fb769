"""What pyproject.toml cannot say: the version, from the one place where it stands, and presets in the wheel."""

import shutil
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithPresets(build_py):
    """Copies config/ into the built package; an editable installation reads it where it lies."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(ROOT / "config", Path(self.build_lib, "g1_vq_retarget", "config"), dirs_exist_ok=True)


extension = tomllib.loads((ROOT / "exts/g1_vq_retarget/config/extension.toml").read_text(encoding="utf-8"))
setup(version=extension["package"]["version"], cmdclass={"build_py": BuildWithPresets})
