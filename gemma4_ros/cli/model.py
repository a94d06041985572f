# SPDX-License-Identifier: Apache-2.0
"""``gemma4 model``: what this machine can run, fetching it, checking it, and serving it to others on this machine."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gemma4_ros.backends.local import load_in_process
from gemma4_ros.backends.model_fetch import fetch
from gemma4_ros.backends.model_store import ModelStore
from gemma4_ros.backends.model_store import Progress as Report
from gemma4_ros.backends.profiles import HubSource, ModelProfile, Profiles, load_profiles
from gemma4_ros.core.errors import ConfigError, Gemma4Error, ModelFileError, ModelMissingError

__all__ = ['app']

DONE, WRONG_USAGE, FAILED, NOT_RUNNING = 0, 2, 5, 6
_REPORT_EVERY_S = 5.0
app = typer.Typer(help='The language models: what fits this machine, get one, check it.', no_args_is_help=True)

AsJson = Annotated[bool, typer.Option('--json', help='one JSON document on standard output')]
ModelId = Annotated[str, typer.Argument(help='entry of models.yaml; default: its default')]


@app.command('list')
def list_models(as_json: AsJson = False) -> None:
    """Show the models, what each needs, and which are here. Example: gemma4 model list"""
    with _errors(as_json):
        profiles, store = load_profiles(), ModelStore()
        memory = psutil.virtual_memory().total
        rows = [_describe(profile, profiles, store, memory) for profile in profiles.by_id.values()]
    if as_json:
        print(json.dumps({'memory_bytes': memory, 'folder': str(store.folder), 'models': rows}))
        return
    table = Table(box=None, pad_edge=False, header_style='bold')
    for column in ('id', 'model', 'size GB', 'memory GB', 'fits', 'reads', 'licence', 'here'):
        table.add_column(column, justify='right' if column.endswith('GB') else 'left')
    for row in rows:
        name = f'{row["id"]} *' if row['default'] else row['id']
        fits = {True: 'yes', False: 'no', None: '?'}[row['fits']]
        here = {'ok': 'yes', 'missing': ''}.get(row['state'], 'damaged')
        reads, size = ', '.join(row['modalities']), _gigabytes(row['size_bytes'])
        table.add_row(name, row['name'], size, _gigabytes(row['memory_bytes']), fits, reads, row['licence'], here)
    console = Console()
    console.print(table)
    console.print(
        f'* default. This machine has {_gigabytes(memory)} GB of memory. Files lie in {store.folder}', highlight=False
    )
    console.print('Get one: gemma4 model get ID', highlight=False)


@app.command()
def get(
    model: ModelId = '',
    source: Annotated[
        Path | None, typer.Option('--from', help='a file that you brought, instead of a download')
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a model; interrupted and run again it goes on. Example: gemma4 model get embedded"""
    with _errors(as_json), _progress(as_json) as report:
        profile = load_profiles().get(model)
        store = ModelStore()
        if source is None:
            path = fetch(store, profile, report)
        else:
            with store.lock(profile):
                path = store.take(profile, source.expanduser(), report)
        digest = store.check(profile, report)
    _say(
        as_json, {'model': profile.id, 'path': str(path), 'sha256': digest}, f'{profile.name} is here and whole: {path}'
    )


@app.command()
def check(
    model: ModelId = '',
    again: Annotated[bool, typer.Option('--again', help='compute the checksum anew')] = False,
    as_json: AsJson = False,
) -> None:
    """Check size, header and checksum of a model's file. Example: gemma4 model check embedded --again"""
    with _errors(as_json), _progress(as_json) as report:
        profile, store = load_profiles().get(model), ModelStore()
        digest = store.check(profile, report, again=again)
    known = 'as models.yaml says' if profile.sha256 else 'models.yaml names no checksum to compare'
    path = str(store.path(profile))
    body = {'model': profile.id, 'path': path, 'sha256': digest, 'compared': profile.sha256 is not None}
    _say(as_json, body, f'{path} is whole: SHA-256 {digest} ({known})')


@app.command()
def serve(
    model: ModelId = '',
    port: Annotated[int, typer.Option(help='on 127.0.0.1')] = 8080,
    threads: Annotated[int, typer.Option(help='0: the cores it may use, less one')] = 0,
) -> None:
    """Serve a model to programs on this machine, OpenAI-style. Example: gemma4 model serve embedded --port 8080"""
    import uvicorn

    from gemma4_ros.backends.engine_app import Engine, make_app

    with _errors(False):
        engine = Engine(load_in_process(model, threads or None))
    typer.echo(f'http://127.0.0.1:{port}/v1 serves {model or "the default model"}; Ctrl-C ends it', err=True)
    uvicorn.run(make_app(engine), host='127.0.0.1', port=port, log_level='warning', lifespan='off')


def _describe(profile: ModelProfile, profiles: Profiles, store: ModelStore, memory: int) -> dict[str, Any]:
    needed = profile.memory_bytes()
    return {
        'id': profile.id,
        'name': profile.name,
        'doc': profile.doc,
        'default': profile.id == profiles.default,
        'licence': profile.licence,
        'size_bytes': profile.size_bytes,
        'sha256': profile.sha256,
        'memory_bytes': needed,
        'fits': None if needed is None else needed <= memory,
        'context_tokens': profile.context_tokens,
        'trained_context_tokens': profile.trained_context_tokens,
        'modalities': list(profile.modalities),
        'source': 'hub' if isinstance(profile.source, HubSource) else 'packages',
        'state': _state(profile, store),
        'path': str(store.path(profile)),
    }


def _state(profile: ModelProfile, store: ModelStore) -> str:
    try:
        store.check_size(profile)
    except ModelMissingError:
        return 'missing'
    except ModelFileError:
        return 'damaged'
    return 'ok'


def _gigabytes(size: int | None) -> str:
    return '?' if size is None else f'{size / 1e9:.1f}'


def _say(as_json: bool, body: dict[str, Any], text: str) -> None:
    print(json.dumps(body) if as_json else text)


@contextmanager
def _errors(as_json: bool) -> Iterator[None]:
    """One sentence and an exit code instead of a traceback."""
    try:
        yield
    except Gemma4Error as error:
        if as_json:
            print(json.dumps({'error': {'code': error.code, 'message': str(error)}}))
        typer.echo(f'gemma4 model: {error}', err=True)
        code = WRONG_USAGE if isinstance(error, ConfigError) else FAILED
        raise typer.Exit(NOT_RUNNING if isinstance(error, ModelMissingError) else code) from error
    except KeyboardInterrupt:
        typer.echo('interrupted; run it again and it goes on', err=True)
        raise typer.Exit(130) from None


@contextmanager
def _progress(as_json: bool) -> Iterator[Report]:
    """Show a bar on a terminal, a line every 5 s elsewhere; both on stderr."""
    if as_json or not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (TextColumn('{task.description}'), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task('', total=None)

        def report(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total or None)

        yield report


class _Lines:
    """Progress for logs."""

    def __init__(self) -> None:
        self._said_s = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s >= _REPORT_EVERY_S:
            self._said_s = now_s
            of = f' of {_gigabytes(total)}' if total else ''
            typer.echo(f'{what}: {_gigabytes(done)}{of} GB', err=True)
