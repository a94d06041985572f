# SPDX-License-Identifier: Apache-2.0
"""``gemma4 eval``: measure what comes out right, with a report in build/reports/."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from gemma4_ros.backends.local import load_in_process
from gemma4_ros.backends.profiles import load_profiles
from gemma4_ros.cli.console_output import note, show, show_json
from gemma4_ros.cli.environment import ensure_ros_environment
from gemma4_ros.cli.eval_commands import Evaluation, Judged, load_commands, rows, summary
from gemma4_ros.cli.eval_physical import Physical, section
from gemma4_ros.cli.eval_physical import figures as cell_figures
from gemma4_ros.cli.paths import config_dir
from gemma4_ros.core.errors import ConfigError

__all__ = ['app', 'read_report', 'write_report']

app = typer.Typer(help='Measure what comes out right.', no_args_is_help=False, invoke_without_command=True)


@app.callback()
def evaluate(ctx: typer.Context) -> None:
    """Measure what comes out right; all of it without a name."""
    if ctx.invoked_subcommand is None:
        commands()


@app.command()
def commands(
    which: Annotated[str, typer.Option('--set', help='dev, dev2, dev3 or test')] = 'dev',
    limit: Annotated[int, typer.Option('--limit', help='only the first so many; 0: all')] = 0,
    model: Annotated[str, typer.Option('--model', help='id of models.yaml')] = '',
    out: Annotated[Path, typer.Option('--out', help='folder of the report')] = Path('build/reports'),
    as_json: Annotated[bool, typer.Option('--json', help='one JSON document on standard output')] = False,
    in_cell: Annotated[bool, typer.Option('--execute', help='carry the plans out in the simulated cell')] = False,
    plans: Annotated[
        Path | None, typer.Option('--plans', help='with --execute: the plans of an earlier commands.json, no model')
    ] = None,
    speed: Annotated[float, typer.Option('--speed', help='simulated seconds a second', min=0.1, max=20.0)] = 8.0,
) -> None:
    """Plan every command of a set and judge it. Example: gemma4 eval commands --set dev --limit 10"""
    if which not in ('dev', 'dev2', 'dev3', 'test'):
        raise ConfigError(f'--set {which} is not known: dev, dev2, dev3 or test')
    if plans is not None and not in_cell:
        raise ConfigError('--plans FILE only makes sense with --execute: there is nothing else to be done with them')
    if in_cell:
        ensure_ros_environment()
    root = config_dir()
    entries = load_commands(root / 'eval' / f'commands_{which}.yaml')
    entries = entries[:limit] if limit > 0 else entries
    figures, results = read_report(plans, which) if plans is not None else _judged(entries, which, model, root)
    physical = []
    if in_cell:
        from gemma4_ros.cli.eval_execute import execute

        by_id = {result.id: (result.plan, result.is_right) for result in results if result.plan}
        physical = execute(entries, by_id, root.parent, out, speed, note)
        figures['cell'] = {'speed': speed, **cell_figures(physical)}
    paths = write_report(out, figures, results, physical)
    if as_json:
        show_json(figures)
        return
    show(f'{figures["right"]} of {figures["commands"]} right; the report: {paths[1]}')
    if in_cell:
        cell = figures['cell']
        show(f'in the cell {cell["succeeded"]} of {cell["admitted"]} admitted plans succeeded')


def _judged(entries: list[dict[str, Any]], which: str, model: str, root: Path) -> tuple[dict[str, Any], list[Judged]]:
    """Plan and judge the entries; return the figures and the results."""
    note(f'{len(entries)} commands; loading the model')
    evaluation = Evaluation(load_in_process(model), root.parent)
    for key in dict.fromkeys((entry['world'], *entry['tools']) for entry in entries):
        note(f'reading the prompt of {key[0]}')
        evaluation.planner(key[0], list(key[1:])).warm()
    done = 0

    def tell(judged: Judged) -> None:
        nonlocal done
        done += 1
        why = judged.wrong if which != 'test' else ''  # single results of the frozen set are not looked at
        said = 'right' if judged.is_right else f'WRONG {why}'.rstrip()
        note(f'{done}/{len(entries)} {judged.id} {judged.total_s:.1f} s {said}')

    results = evaluation.run(entries, tell)
    return {'set': which, **summary(results, load_profiles().get(model).id)}, results


def read_report(path: Path, which: str) -> tuple[dict[str, Any], list[Judged]]:
    """Return figures and results of an earlier commands.json; raise ConfigError where it is none, or of another set."""
    try:
        body = json.loads(path.read_text(encoding='utf-8'))
        names = {field.name for field in dataclasses.fields(Judged)}
        rows = [{name: value for name, value in row.items() if name in names} for row in body['results']]
        results = [Judged(**{**row, 'notes': tuple(row.get('notes', ()))}) for row in rows]
        of_set, _ = body['set'], body['model']
    except OSError as error:
        raise ConfigError(f'cannot read {path}: {error.strerror}') from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'{path} is no report of gemma4 eval commands: {error!r}') from error
    if of_set != which:
        raise ConfigError(f'{path} is a report of the set {of_set!r}, not of {which!r}')
    return {name: value for name, value in body.items() if name not in ('results', 'cell')}, results


def write_report(
    folder: Path, figures: dict[str, Any], results: list[Judged], physical: Sequence[Physical] = ()
) -> tuple[Path, Path]:
    """Write commands.json and commands.md; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    data, page = folder / 'commands.json', folder / 'commands.md'
    in_cell = {result.id: dataclasses.asdict(result) for result in physical}
    body = {**figures, 'results': [{**row, 'cell': in_cell.get(row['id'])} for row in map(json.loads, rows(results))]}
    data.write_text(json.dumps(body, ensure_ascii=False, indent=1) + '\n', encoding='utf-8')
    lines = [f'# Commands, set {figures["set"]}, model {figures["model"]}', '', '| figure | value |', '|---|---|']
    lines += [f'| {name} | {_cell(value)} |' for name, value in figures.items() if name not in ('set', 'model', 'cell')]
    wrong = [result for result in results if not result.is_right]
    if figures['set'] != 'test':  # single results of the test set are not looked at
        lines += ['', '## Wrong', '', '| id | command | why |', '|---|---|---|'] if wrong else []
        lines += [f'| {result.id} | {_cell(result.text[:200])} | {_cell(result.wrong)} |' for result in wrong]
    if 'cell' in figures:
        lines += ['', '## In the cell', '', '| figure | value |', '|---|---|']
        lines += [f'| {name} | {_cell(value)} |' for name, value in figures['cell'].items()]
        lines += section(physical) if figures['set'] != 'test' else []
    page.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return data, page


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ', '.join(f'{key} {each}' for key, each in value.items())
    text = f'{value:.3f}' if isinstance(value, float) else str(value)
    return ''.join(char if char.isprintable() else ' ' for char in text.replace('|', '\\|'))
