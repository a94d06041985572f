# SPDX-License-Identifier: Apache-2.0
"""What the commands of ``gemma4 gate`` share: exit codes, options, one sentence for an error, the running gate."""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn

import typer

from gemma4_ros.core.errors import Gemma4Error

__all__ = [
    'DONE', 'NEEDS_APPROVAL', 'NOT_RUNNING', 'REFUSED', 'WRONG_USAGE', 'AsJson', 'Errors', 'Namespace', 'Person',
    'Wait', 'fail', 'running_gate', 'visible',
]  # fmt: skip

DONE, WRONG_USAGE, NEEDS_APPROVAL, REFUSED, NOT_RUNNING = 0, 2, 3, 4, 6
AsJson = Annotated[bool, typer.Option('--json', help='one JSON document on standard output')]
Person = Annotated[str, typer.Option('--person', envvar='GEMMA4_PERSON', help='who you are')]
Wait = Annotated[float, typer.Option('--wait', help='how long to wait for the gate, s')]
Namespace = Annotated[str, typer.Option('--namespace', help='of the robot, as given to gemma4 up')]


def visible(text: str) -> str:
    """Return a text in which nothing can hide or colour a terminal."""
    return ''.join(char if char.isprintable() or char == '\n' else f'\\x{ord(char):02x}' for char in text)


def fail(text: str, code: int) -> NoReturn:
    """End the command with a sentence."""
    print(f'gemma4 gate: {text}', file=sys.stderr)
    raise typer.Exit(code)


class Errors:
    """One sentence and an exit code instead of a traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Gemma4Error | OSError):
            fail(str(error), WRONG_USAGE)


def running_gate(wait: float, namespace: str) -> Any:
    """Return a client of the running gate; end the command where ROS is not there."""
    try:
        from gemma4_ros.cli.gate_client import GateClient
    except ImportError as error:
        fail(
            f'ROS 2 or the built package is not there ({error}); run make setup, or source install/local_setup.sh',
            NOT_RUNNING,
        )
    return GateClient(wait, namespace, lambda text: fail(text, NOT_RUNNING), lambda text: fail(text, REFUSED))
