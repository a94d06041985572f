# SPDX-License-Identifier: Apache-2.0
"""The command ``gemma4``: finds the command's module when it is called, and turns errors into sentences."""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from gemma4_ros.cli.console_output import DONE, INTERRUPTED, exit_code, note
from gemma4_ros.cli.environment import ensure_ros_environment
from gemma4_ros.core.errors import ConfigError, Gemma4Error

__all__ = ['COMMANDS', 'main']

COMMANDS: dict[str, tuple[str, str]] = {
    'demo': ('demo_command:demo', 'The simulated cell carries out a spoken command. Example: gemma4 demo'),
    'up': ('up:up', 'Start the nodes and keep them running. Example: gemma4 up --sim'),
    'say': ('say:say', 'A command or question to the running stack. Example: gemma4 say "go to the pump"'),
    'hear': ('say:hear', 'Play a recording to the running stack. Example: gemma4 hear command.wav'),
    'plan': ('plan_command:plan', 'Plan a command without carrying it out. Example: gemma4 plan "go to the pump"'),
    'stop': ('control:stop', 'Stop everything now. Example: gemma4 stop'),
    'pause': ('control:pause', 'Let the running plan wait after its step. Example: gemma4 pause'),
    'resume': ('control:resume', 'Let a paused plan go on. Example: gemma4 resume'),
    'status': ('control:status', 'What gate, deadman, model and plan are doing. Example: gemma4 status --json'),
    'gate': ('gate:app', 'The safety gate: check plans and policies, audit logs, arm, reset, approve.'),
    'security': ('security:app', 'Enclaves and permissions of every node. Example: gemma4 security generate'),
    'tree': ('tree_command:tree', 'Draw a plan as a tree. Example: gemma4 tree plan.json --format dot'),
    'tools': ('tools:app', 'Tools files: check them against the interface types, draft them from the graph.'),
    'model': ('model:app', 'The language models: what fits this machine, get one, check it.'),
    'read': ('read:app', 'Read instruments from pictures.'),
    'eval': ('eval_command:app', 'Measure what comes out right. Example: gemma4 eval commands --set dev'),
    'bench': ('bench_command:bench', 'Measure how fast it is. Example: gemma4 bench decode'),
    'doctor': ('doctor:doctor', 'What is missing on this machine, with the mending command. Example: gemma4 doctor'),
}
"""Module below gemma4_ros.cli and attribute, and one line of help."""


class _Lazy(TyperGroup):
    """Import a command when it is called, not to list it."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is click's
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is click's
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, callback=_nothing, help=COMMANDS[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, args)
        return name, (_load(name) if name in COMMANDS else found), rest


def _nothing() -> None:
    """Stand in for a command that is only listed."""


def _load(name: str) -> Any:
    if name == 'gate':  # half of it talks to the running gate, half of it needs no ROS
        with contextlib.suppress(ConfigError):
            ensure_ros_environment()
    module, _, attribute = COMMANDS[name][0].partition(':')
    found = getattr(importlib.import_module(f'gemma4_ros.cli.{module}'), attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(name)(found)
        found = single
    command = typer.main.get_command(found)
    command.name = name
    return command


app = typer.Typer(cls=_Lazy, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def gemma4(
    debug: bool = typer.Option(False, '--debug', help='show tracebacks'),
) -> None:
    """Natural language for ROS 2 robots: plans by a local model, a safety gate in front of every controller."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code (0 done, 2 usage, 3 approval, 4 refused, 5 failed, 6 not running)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        typer.main.get_command(app).main(arguments, prog_name='gemma4')
    except SystemExit as end:
        return int(end.code) if isinstance(end.code, int) else DONE if end.code is None else 1
    except Gemma4Error as error:
        if _debug(arguments):
            traceback.print_exc()
        note(f'gemma4: {error}')
        return exit_code(error)
    except KeyboardInterrupt:
        note('interrupted')
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a bug: no traceback reaches the user unless asked for
        if _debug(arguments):
            traceback.print_exc()
        note(f'gemma4: this should not have happened: {type(error).__name__}: {error} (gemma4 --debug … says where)')
        return 1
    return DONE


def _debug(arguments: list[str]) -> bool:
    """Say whether --debug stands before the command."""
    return bool(arguments) and arguments[0] == '--debug'


if __name__ == '__main__':
    sys.exit(main())
