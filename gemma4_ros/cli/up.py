# SPDX-License-Identifier: Apache-2.0
"""``gemma4 up``: start the table of processes, watch over it, stop it in order."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from gemma4_ros.cli.child import Child
from gemma4_ros.cli.console_output import note, show
from gemma4_ros.cli.environment import ensure_ros_environment
from gemma4_ros.cli.paths import config_dir, source_root
from gemma4_ros.core.errors import ConfigError, NotRunningError
from gemma4_ros.nodes.table import ENVIRONMENT, Process, command, processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemma4_ros.cli.graph_watch import GraphWatch

__all__ = ['Stack', 'log_folder', 'up']

MISCONFIGURED = 2
Say = Callable[[str], None]


def log_folder() -> Path:
    """Return where logs go: build/logs of the source tree, else the user's cache."""
    root = source_root()
    return root / 'build' / 'logs' if root is not None else Path.home() / '.cache' / 'gemma4_ros' / 'logs'


class Stack:
    """
    The processes of the stack.

    Parameters
    ----------
    sim, composed, only :
        See `gemma4_ros.nodes.table.processes`.
    config, model : str
        Folder of the configuration and id of a model; empty: the defaults.
    log_dir : Path, optional
        One file a process; default: `log_folder`.
    domain_id : int, optional
        ROS domain; default: that of the environment.
    namespace : str
        Of every node.
    production : bool
        Refuse to start without DDS security; see `gemma4_ros.ros.production`.
    settings : mapping, optional
        Parameters of single nodes, ``{'cell': {'speed': '2.0'}}``; the rest is as in the parameter files.
    say : callable
        Takes one line about what happened.
    check : callable, optional
        Called before a process is started and in every round of waiting; what it raises ends that.

    """

    def __init__(
        self,
        *,
        sim: bool = True,
        composed: bool = False,
        config: str = '',
        model: str = '',
        log_dir: Path | None = None,
        domain_id: int | None = None,
        only: Collection[str] = (),
        namespace: str = '',
        production: bool = False,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        say: Say = note,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._groups = processes(sim=sim, composed=composed, only=only)
        folder = Path(config).expanduser().resolve() if config else config_dir()
        if not folder.is_dir():
            raise ConfigError(f'{folder} is no folder: --config wants one with world.yaml, policy.yaml and tools/')
        self.log_dir = log_dir or log_folder()
        self._domain_id, self._namespace, self._say, self._check = domain_id, namespace, say, check or _nothing
        environment = {**os.environ, **ENVIRONMENT, 'PYTHONUNBUFFERED': '1'}
        if production:  # of whoever starts the nodes, not of the nodes
            environment.pop('ROS_SECURITY_ENCLAVE_OVERRIDE', None)
        if domain_id is not None:
            environment['ROS_DOMAIN_ID'] = str(domain_id)
        values = {'config': str(folder) if config else '', 'model': model}
        self._commands = [
            command(
                group, values, parameters_from=folder, namespace=namespace, settings=settings, production=production
            )
            for group in self._groups
        ]
        self._children = [
            Child(_title(group), words, environment, self.log_dir / f'{group[0].name}.log')
            for group, words in zip(self._groups, self._commands, strict=True)
        ]
        self._given_up: set[str] = set()
        self._watch: GraphWatch | None = None

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all processes; none of them is ready yet."""
        from gemma4_ros.cli.graph_watch import GraphWatch

        self.log_dir.mkdir(parents=True, exist_ok=True)
        self._watch = GraphWatch(self._namespace, self._domain_id)
        try:
            for child in self._children:
                self._check()
                child.log.unlink(missing_ok=True)
                child.start()
        except BaseException:
            self.stop()
            raise

    def require_production(self) -> None:
        """Raise ConfigError where a process would refuse to start in production, before any of them is started."""
        from gemma4_ros.ros.production import OVERRIDE, require

        own = {name: value for name, value in os.environ.items() if name != OVERRIDE}
        for group, words in sorted(zip(self._groups, self._commands, strict=True), key=lambda pair: -len(pair[0])):
            require(_names(group), words, own)
        # this process looks at the graph like any other command of gemma4
        os.environ.setdefault(OVERRIDE, '/'.join(['', *filter(None, [self._namespace.strip('/')]), 'operator']))
        require(['operator'], [])

    def wait_ready(self, deadline: float = 90.0) -> None:
        """
        Wait until every node is on the graph, lifecycle nodes active and the model loaded.

        Raises
        ------
        NotRunningError
            One that the stack needs ended, or is not ready in time; names its log.
        ConfigError
            One refused its configuration; says what it said.

        """
        assert self._watch is not None
        end, waiting = time.monotonic() + deadline, [process for group in self._groups for process in group]
        while waiting:
            self.poll()
            waiting = [process for process in waiting if process.name not in self._given_up]
            for process in [each for each in waiting if self._watch.is_ready(each.name)]:
                waiting.remove(process)
                self._say(f'{process.name} is ready{self._watch.remark(process.name)}')
            if waiting and time.monotonic() > end:
                names = ', '.join(process.name for process in waiting)
                raise NotRunningError(f'not ready within {deadline:g} s: {names}; their logs lie in {self.log_dir}')
            self._watch.spin(0.05)

    def poll(self) -> None:
        """Start again what ended by itself; raise where the stack cannot go on without it."""
        self._check()
        for group, child in zip(self._groups, self._children, strict=True):
            if child.exit_code is not None and child.name not in self._given_up:
                self._ended(group, child, child.exit_code)

    def _ended(self, group: tuple[Process, ...], child: Child, code: int) -> None:
        said = f'{child.name} ended with {code}: {child.last_words() or "it said nothing"} (log: {child.log})'
        if code != MISCONFIGURED and all(process.respawn for process in group) and child.may_restart:
            self._say(f'{said}; starting it again')
            assert self._watch is not None
            for process in group:
                self._watch.ended(process.name)
            child.start()
            return
        self._given_up.update({child.name, *(process.name for process in group)})
        if not all(process.optional for process in group):
            raise ConfigError(said) if code == MISCONFIGURED else NotRunningError(said)
        self._say(f'{said}; going on without it')

    def stop(self) -> None:
        """Stop all, the last started first; nothing of them is left afterwards."""
        for child in reversed(self._children):
            used = child.stop()
            if used not in ('', 'SIGINT'):
                self._say(f'{child.name} did not end by itself and was ended by {used}')
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def is_alive(self, name: str) -> bool:
        """Say whether the process with this node runs."""
        return any(child.is_alive and name in _names(group) for group, child in self._pairs())

    @property
    def pids(self) -> dict[str, int]:
        """Return the process id of every node that runs."""
        return {name: child.pid for group, child in self._pairs() if child.is_alive for name in _names(group)}

    def _pairs(self) -> list[tuple[tuple[Process, ...], Child]]:
        return list(zip(self._groups, self._children, strict=True))


def _nothing() -> None:
    """Let the waiting go on."""


def _names(group: tuple[Process, ...]) -> tuple[str, ...]:
    return tuple(process.name for process in group)


def _title(group: tuple[Process, ...]) -> str:
    return '+'.join(_names(group))


@contextmanager
def _stop_signals() -> Iterator[Callable[[], None]]:
    """
    Collect SIGINT, SIGTERM and SIGHUP; yields a check that raises KeyboardInterrupt after the first of them.

    The handler raises nothing itself: in the middle of starting a process that would lose the process.
    """
    seen: list[int] = []

    def check() -> None:
        if seen:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda got, _: seen.append(got)) for number in numbers}
    try:
        yield check
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def up(
    sim: Annotated[bool, typer.Option('--sim', help='with the simulated cell instead of a robot')] = False,
    composed: Annotated[bool, typer.Option('--composed', help='several nodes share a process')] = False,
    config: Annotated[str, typer.Option('--config', help='folder of the configuration')] = '',
    model: Annotated[str, typer.Option('--model', help='id of models.yaml; default: as the parameters say')] = '',
    namespace: Annotated[str, typer.Option('--namespace', help='of every node, one a robot')] = '',
    production: Annotated[
        bool, typer.Option('--production', help='refuse to start without DDS security, see docs/security.md')
    ] = False,
    nodes: Annotated[str, typer.Option('--nodes', help='only these, with commas in between')] = '',
    log_dir: Annotated[Path | None, typer.Option('--log-dir', help='one log file a process')] = None,
    deadline: Annotated[float, typer.Option('--deadline', help='longest time until all are ready, s')] = 90.0,
) -> None:
    """Start the nodes and keep them running; Ctrl-C stops them in order. Example: gemma4 up --sim"""
    ensure_ros_environment()
    only = tuple(name.strip() for name in nodes.split(',') if name.strip())
    with _stop_signals() as check:
        stack = Stack(
            sim=sim, composed=composed, config=config, model=model, log_dir=log_dir, only=only, namespace=namespace,
            production=production, check=check,
        )  # fmt: skip
        if production:
            stack.require_production()
        try:
            note(f'starting; the logs lie in {stack.log_dir}')
            stack.start()
            stack.wait_ready(deadline)
            show('ready. In another terminal: gemma4 gate arm, then gemma4 say "TEXT". Ctrl-C stops everything.')
            while True:
                stack.poll()
                time.sleep(0.2)
        except KeyboardInterrupt:
            note('stopping')
        finally:
            stack.stop()
    note('all processes have ended')
