#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Make everything that the other targets of the Makefile need: `make setup`.

Standard library alone. Each step is done again only when what it was made from has changed; interrupted and run again,
it goes on with the step that it was at.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from provision import distribution, interpreter, machine, steps
from provision.commands import SetupError, Shell
from provision.console import Progress, duration

ROOT = Path(__file__).resolve().parent.parent


def check_machine(shell: Shell) -> str:
    """Install or name what the system lacks; return advice on what can wait, raise SetupError on what cannot."""
    missing = machine.lacking()
    if missing:
        print('setup: installing ' + ', '.join(need.package for need in missing), flush=True)
        missing = machine.install(missing, shell)
    required = [need for need in missing if need.is_required]
    if required:
        raise SetupError('this machine lacks what the build needs:\n' + machine.advice(required))
    return machine.advice(missing) if missing else ''


def pending(place: steps.Place) -> list[steps.Step]:
    """Return the steps that are to be done, in order: after a new virtual environment, all of them."""
    todo = []
    for step in steps.all_steps(place):
        is_fresh = todo and todo[0].name == 'venv'
        if is_fresh or not place.stamps.matches(step.name, step.key) or not step.is_there():
            todo.append(step)
    return todo


def carry_out(place: steps.Place, todo: list[steps.Step]) -> None:
    """Do the steps, with progress."""
    progress = Progress(len(todo))
    for number, step in enumerate(todo, start=1):
        rest = todo[number:]
        left = ', '.join(s.name for s in rest) + f', about {duration(sum(s.typical_s for s in rest))}' if rest else ''
        progress.begin(number, step.title, left)
        outcome = 'stopped'
        try:
            place.stamps.clear(step.name)
            step.work(progress.detail)
            place.stamps.write(step.name, step.key)
            outcome = 'done'
        finally:
            progress.end(outcome)


def set_up() -> None:
    """Bring this clone to the state that its files describe."""
    started_s = time.monotonic()
    distribution.source_again(ROOT / '.venv', os.environ)
    ros = distribution.find(os.environ, ROOT)
    # Nothing of another virtual environment, and nothing of the wheels' second start, may leak into the steps.
    dropped = {'VIRTUAL_ENV', 'PYTHONHOME', '_ROS_WHEELS_BOOTSTRAP_COMPLETE'}
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    environment['PIP_DISABLE_PIP_VERSION_CHECK'] = '1'
    place = steps.Place(ROOT, Shell(ROOT / 'build' / 'setup.log', environment, ROOT), ros)
    advice = check_machine(place.shell)
    todo = pending(place)
    if todo:
        name = f'ROS 2 {ros.name} at {ros.prefix}' if ros else 'ROS 2 Kilted from wheels'
        print(
            f'setup: Python {sys.version.split()[0]}, {name}, {os.cpu_count()} cores; log: {place.shell.log}',
            flush=True,
        )
        carry_out(place, todo)
        print(f'setup: ready after {duration(time.monotonic() - started_s)}', flush=True)
    if advice:
        print(f'setup: works without, but better with:\n{advice}', flush=True)


def main() -> int:
    """Run under a lock: two makes at once would tread on each other."""
    interpreter.ensure(__file__)
    (ROOT / 'build').mkdir(exist_ok=True)
    with (ROOT / 'build' / '.setup.lock').open('w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print('setup: another make is setting up this clone; waiting for it', flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            set_up()
        except SetupError as error:
            print(f'setup: {error}', file=sys.stderr)
            print('setup: mend it and run the same command again; what is done stays done', file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print('setup: interrupted; run it again and it goes on', file=sys.stderr)
            return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
