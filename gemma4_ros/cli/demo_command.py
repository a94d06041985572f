# SPDX-License-Identifier: Apache-2.0
"""``gemma4 demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gemma4_ros.cli.environment import ensure_ros_environment

__all__ = ['demo']


def demo(
    say: Annotated[str, typer.Option('--say', help='a command of yours, typed; default: the recording')] = '',
    wav: Annotated[Path | None, typer.Option('--wav', help='a recording of yours')] = None,
    speed: Annotated[
        float, typer.Option('--speed', help='simulated seconds a second; 1: as fast as a robot', min=0.1, max=20.0)
    ] = 2.0,
    out: Annotated[Path, typer.Option('--out', help='folder for what is kept')] = Path('build/demo'),
) -> None:
    """Let the simulated cell carry out a command. Example: gemma4 demo --say "go to the pump" """
    ensure_ros_environment()
    from gemma4_ros.cli.demo import run_demo

    raise typer.Exit(run_demo(say, wav, out, speed))
