# SPDX-License-Identifier: Apache-2.0
"""
The part of gemma4_ros that needs no ROS, and the command ``gemma4``, for pip.

The ROS package is built by colcon from package.xml and CMakeLists.txt; both install the same Python code. The version
stands in package.xml alone.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
DATA = ('npz', 'json', 'yaml', 'xml', 'txt', 'jinja', 'gbnf', 'html', 'css', 'js', 'svg', 'png', 'wav', 'typed')


def package_field(name: str) -> str:
    """Return the text of an element of package.xml."""
    found = re.search(rf'<{name}>([^<]+)</{name}>', (ROOT / 'package.xml').read_text(encoding='utf-8'))
    if found is None:
        raise SystemExit(f'setup.py: package.xml has no <{name}>')
    return found[1].strip()


def requirements() -> list[str]:
    """Return the direct dependencies, and the engine's bindings with them."""
    lines = []
    for name in ('base.in', 'llama.in'):
        lines += (ROOT / 'requirements' / name).read_text(encoding='utf-8').splitlines()
    return [bare for line in lines if (bare := line.split('#')[0].strip())]


class BuildWithConfig(build_py):
    """Put config/ into the wheel as gemma4_ros/config, where gemma4_ros.cli.paths finds it."""

    def run(self) -> None:
        """Build as usual, then add the configuration; an editable install reads config/ itself."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / 'gemma4_ros' / 'config'
            shutil.copytree(ROOT / 'config', target, dirs_exist_ok=True, ignore=shutil.ignore_patterns('.gitkeep'))


setup(
    name='gemma4_ros',
    version=package_field('version'),
    description=package_field('description'),
    license=package_field('license'),
    python_requires='>=3.10,<3.14',
    packages=find_packages(include=['gemma4_ros', 'gemma4_ros.*']),
    package_data={'gemma4_ros': [f'**/*.{kind}' for kind in DATA]},
    install_requires=requirements(),
    entry_points={'console_scripts': ['gemma4 = gemma4_ros.cli.main:main']},
    cmdclass={'build_py': BuildWithConfig},
)
