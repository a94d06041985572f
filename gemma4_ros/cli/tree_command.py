# SPDX-License-Identifier: Apache-2.0
"""``gemma4 tree``: a plan as lines or as Graphviz DOT."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from gemma4_ros.cli.console_output import show
from gemma4_ros.core.errors import ConfigError, PlanError
from gemma4_ros.core.plan import Plan, plan_from_json
from gemma4_ros.core.tree.rows import plan_rows, to_dot, to_text

__all__ = ['load_plan', 'tree']

MAX_BYTES = 1 << 16


def load_plan(path: Path) -> Plan:
    """Read a plan, or what `gemma4 plan --json` wrote; - is standard input. Raises ConfigError."""
    try:
        data = sys.stdin.buffer.read(4 * MAX_BYTES) if str(path) == '-' else path.read_bytes()
    except OSError as error:
        raise ConfigError(f'{path} cannot be read: {error.strerror}') from None
    try:
        document = json.loads(data)
        wrapped = document.get('plan')  # a dict in the output of `gemma4 plan --json`, the version in a plan
        return plan_from_json(wrapped if isinstance(wrapped, dict) else document)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, PlanError) as error:
        raise ConfigError(f'{path} is no plan (plan-1.json): {error}') from None


def tree(
    plan: Annotated[Path, typer.Argument(help='plan, or output of gemma4 plan --json; -: standard input')],
    form: Annotated[str, typer.Option('--format', help='text or dot')] = 'text',
) -> None:
    """Draw a plan as a tree. Example: gemma4 tree plan.json --format dot | dot -Tsvg > plan.svg"""
    if form not in ('text', 'dot'):
        raise ConfigError(f'--format {form} is not known: text or dot')
    rows = plan_rows(load_plan(plan))
    show('\n'.join(to_text(rows)) if form == 'text' else to_dot(rows))
