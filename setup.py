"""The version, from the one place where it stands; everything else about the distribution is in pyproject.toml."""

import tomllib
from pathlib import Path

from setuptools import setup

extension = Path(__file__).parent / "exts/g1_vq_retarget/config/extension.toml"
setup(version=tomllib.loads(extension.read_text(encoding="utf-8"))["package"]["version"])
