# SPDX-License-Identifier: Apache-2.0
"""`gemma4 eval commands --execute`: carry the plans out in the simulated cell, through the gate."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gemma4_ros.cli.eval_cell import CellRun
from gemma4_ros.cli.eval_physical import FAILED, NOT_RUN, REFUSED, SUCCEEDED, Physical, physically_wrong
from gemma4_ros.cli.ros_session import RosSession
from gemma4_ros.cli.up import Stack
from gemma4_ros.core.errors import Gemma4Error, NotRunningError
from gemma4_ros.core.facts import parse_fact
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.plan import plan_from_json
from gemma4_ros.core.planning.symbolic import Symbolic
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

__all__ = ['NODES', 'execute', 'run_entry']

NAMESPACE = 'evaluation'
NODES = ('cell', 'deadman', 'gate', 'perception', 'executor')
WORLD, TOOLS = 'config/world.yaml', ['config/tools/cell.yaml']
READY_S = 90.0
MOST_REPEATS = 3
LATE = (Code.SIGNAL_STALE, Code.DEADMAN, Code.EXECUTOR_LEASE)


def run_entry(
    cell: CellRun, symbolic: Symbolic, entry: Mapping[str, Any], plan_text: str, is_plan_right: bool
) -> Physical:
    """
    Carry one entry's plan out from its start state, and judge the cell.

    A run that ended because signs of life came late is repeated, three times at most: that says something about the
    computer, nothing about the plan.
    """
    repeats = 0
    while True:
        before = cell.trips()
        result, is_done = _once(cell, symbolic, entry, plan_text)
        is_late = not is_done and (result.code in LATE or cell.was_interrupted(before))
        if not is_late or repeats == MOST_REPEATS:
            return dataclasses.replace(result, repeats=repeats, is_plan_right=is_plan_right)
        repeats += 1


def _once(cell: CellRun, symbolic: Symbolic, entry: Mapping[str, Any], plan_text: str) -> tuple[Physical, bool]:
    """Return how it went, and whether the executor reported success."""
    start = symbolic.world.initial.with_facts(parse_fact(text) for text in entry.get('state', ()))
    try:
        unready = cell.begin(start)
    except NotRunningError as error:
        unready = str(error)
    if unready:
        return Physical(entry['id'], NOT_RUN, unready), False
    began_s = time.monotonic()
    run = cell.carry_out(plan_text.encode())
    total_s = time.monotonic() - began_s
    if not run.permit:
        return Physical(entry['id'], REFUSED, run.text, run.code), False
    plan = plan_from_json(json.loads(plan_text))
    wrong = physically_wrong(entry['expect'], plan, start, run, cell.truth(), symbolic)
    outcome = FAILED if wrong else SUCCEEDED
    return Physical(entry['id'], outcome, wrong, run.code, total_s, len(run.trace)), run.is_done


def execute(
    entries: list[dict[str, Any]],
    plans: Mapping[str, tuple[str, bool]],
    root: Path,
    out: Path,
    speed: float,
    tell: Callable[[str], None],
) -> list[Physical]:
    """
    Carry out plans in a simulated cell that is started for it.

    Parameters
    ----------
    entries : list of dict
        Of the command set.
    plans : mapping of id to (plan, is_right)
        Canonical JSON, and whether the plan was judged right; entries without one are left out.
    root : Path
        Folder that the entries' files are below.
    out : Path
        Folder for logs, audit log and pictures, ``cell/`` below it; what an earlier run left there goes.
    speed : float
        Simulated seconds a second.
    tell : callable
        Takes one line about what happened.

    """
    planned = [entry for entry in entries if entry['id'] in plans]
    own = [entry for entry in planned if (entry['world'], entry['tools']) == (WORLD, TOOLS)]
    results = [
        Physical(e['id'], NOT_RUN, f'{e["world"]} is not the world of the cell') for e in planned if e not in own
    ]
    if not own:
        return results
    world = load_world((root / WORLD).read_text(encoding='utf-8'), WORLD)
    symbolic = Symbolic(world, load_tools([(n, (root / n).read_text(encoding='utf-8')) for n in TOOLS], world))
    folder = (out / 'cell').resolve()
    shutil.rmtree(folder, ignore_errors=True)
    settings = {
        'cell': {'speed': f'{float(speed)}'},
        'gate': {'audit_dir': str(folder / 'audit')},
        'perception': {'evidence_dir': str(folder / 'evidence')},
    }
    # a namespace of its own: what approves here must never be the gate of a robot on the same network
    options: dict[str, Any] = {'settings': settings, 'say': tell, 'namespace': NAMESPACE}
    with Stack(sim=True, only=NODES, log_dir=folder / 'logs', **options) as stack:
        stack.wait_ready(READY_S)
        with RosSession(NAMESPACE) as session:
            cell = CellRun(session, world.robot, stack.poll)
            for number, entry in enumerate(own, 1):
                plan_text, is_right = plans[entry['id']]
                try:
                    result = run_entry(cell, symbolic, entry, plan_text, is_right)
                except Gemma4Error as error:  # of this plan; a stack that ended raises in `poll` of the next one
                    result = Physical(entry['id'], FAILED, str(error), error.code, is_plan_right=is_right)
                results.append(result)
                tell(f'{number}/{len(own)} {result.id} {result.outcome} {result.total_s:.1f} s {result.why}')
    return results
