# SPDX-License-Identifier: Apache-2.0
"""``gemma4 plan``: from text to a checked plan, in this process and without ROS."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from gemma4_ros.backends.local import load_in_process
from gemma4_ros.cli.console_output import DONE, REFUSED, note, show, show_json
from gemma4_ros.core.errors import PlanError
from gemma4_ros.core.planning.planner import Outcome, Planner
from gemma4_ros.core.tree.rows import plan_rows, to_text
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_files import CELL_TOOLS
from gemma4_ros.ros.gate_load import load_catalogue

__all__ = ['plan']


def plan(
    text: Annotated[str, typer.Argument(help='a command or question')],
    config: Annotated[str, typer.Option('--config', help='folder of the configuration')] = '',
    world: Annotated[Path | None, typer.Option('--world', help='world file')] = None,
    tools: Annotated[list[Path] | None, typer.Option('--tools', help='tools file; may stand several times')] = None,
    model: Annotated[str, typer.Option('--model', help='id of models.yaml')] = '',
    deadline: Annotated[float, typer.Option('--deadline', help='longest time for the model, s')] = 300.0,
    as_json: Annotated[bool, typer.Option('--json', help='one JSON document on standard output')] = False,
) -> None:
    """Plan TEXT. Exit 0, or 4 where it cannot be done. Example: gemma4 plan "bring the red toolbox to the pump" """
    catalogue = load_catalogue(
        GateFiles(
            config,
            str(world.expanduser().resolve()) if world else 'world.yaml',
            tuple(str(path.expanduser().resolve()) for path in tools) if tools else CELL_TOOLS,
        )
    )
    started = time.monotonic()
    if not as_json:
        note('loading the model; the first command for a world takes a minute longer, the next ones do not')
    planner = Planner(catalogue.world, catalogue.toolset, load_in_process(model))
    loaded = time.monotonic()
    try:
        outcome = planner.plan(
            text, catalogue.world.initial, deadline_s=deadline, on_phase=_silent if as_json else _tell
        )
    except PlanError as error:
        outcome = Outcome('cannot', str(error))
    timings = {
        'load_s': round(loaded - started, 3),
        'total_s': round(time.monotonic() - loaded, 3),
        'model_s': round(outcome.effort.model_s, 3),
    }
    if as_json:
        show_json(_document(outcome, timings))
    else:
        _show(outcome, timings)
    raise typer.Exit(REFUSED if outcome.kind == 'cannot' else DONE)


def _silent(phase: str, text: str) -> None:
    """Say nothing: standard output belongs to the document."""


def _tell(phase: str, text: str) -> None:
    note(f'{phase}: {text}' if text else phase)


def _document(outcome: Outcome, timings: dict[str, float]) -> dict[str, Any]:
    effort = outcome.effort
    said: Any = json.loads(outcome.data) if outcome.data else outcome.text
    body: dict[str, Any] = {outcome.kind: said}
    if outcome.choices:
        body['choices'] = list(outcome.choices)
    if outcome.sha256:
        body['sha256'] = outcome.sha256
    return {
        **body,
        'draft': outcome.draft,
        'notes': list(outcome.notes),
        'timings': timings,
        'passes': effort.passes,
        'output_tokens': effort.output_tokens,
        'forced_tokens': effort.forced_tokens,
        'repairs': effort.repairs,
    }


def _show(outcome: Outcome, timings: dict[str, float]) -> None:
    if outcome.plan is not None:
        show('\n'.join(to_text(plan_rows(outcome.plan))))
    else:
        show(f'{outcome.kind}: {outcome.text}')
    for choice in outcome.choices:
        show(f'  - {choice}')
    for remark in outcome.notes:
        note(remark)
    note(f'{timings["total_s"]:.1f} s, {outcome.effort.passes} model passes')
