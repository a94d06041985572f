# SPDX-License-Identifier: Apache-2.0
"""``gemma4 bench``: run the measurements of bench/."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

from gemma4_ros.cli.console_output import DONE, FAILED, note
from gemma4_ros.cli.paths import source_root
from gemma4_ros.core.errors import ConfigError

__all__ = ['bench']


def bench(
    name: Annotated[str, typer.Argument(help='a file of bench/ without .py; default: all')] = '',
) -> None:
    """Measure how fast it is, beside a peer in the same run. Example: gemma4 bench decode"""
    root = source_root()
    if root is None:
        raise ConfigError('the measurements are part of the source tree: run this in a clone')
    found = {path.stem: path for path in sorted((root / 'bench').glob('*.py')) if not path.stem.startswith('_')}
    if name and name not in found:
        raise ConfigError(f'there is no measurement {name!r}; there are: {", ".join(found) or "none yet"}')
    if not found:
        raise ConfigError('bench/ holds no measurement yet')
    failed = []
    for stem in [name] if name else list(found):
        note(f'bench {stem}')
        if subprocess.run([sys.executable, str(found[stem])], cwd=root, check=False).returncode:
            failed.append(stem)
    if failed:
        note(f'failed: {", ".join(failed)}')
    raise typer.Exit(FAILED if failed else DONE)
