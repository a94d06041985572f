# SPDX-License-Identifier: Apache-2.0
"""``gemma4 gate`` for people: approve, lock out, keys, and the signature of a policy."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gemma4_ros.cli.gate_terminal import DONE, REFUSED, AsJson, Errors, Namespace, Person, Wait, running_gate, visible
from gemma4_ros.cli.keys import key_folder, new_key, policy_line, signer_of
from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.gate.signing import approval_text
from gemma4_ros.ros.gate_files import read_text

__all__ = ['add_commands']

key_app = typer.Typer(help='Ed25519 keys with which people sign.', no_args_is_help=True)
lockout_app = typer.Typer(help='Software lock-outs: while one is on, nothing moves.', no_args_is_help=True)
KeyFile = Annotated[
    Path | None, typer.Option('--key', help='your private key, or the .pub of one that your SSH agent holds')
]


def add_commands(app: typer.Typer) -> None:
    """Add these commands to ``gemma4 gate``."""
    app.add_typer(key_app, name='key')
    app.add_typer(lockout_app, name='lockout')
    app.command()(approve)
    app.command()(sign)


def approve(
    approval_id: Annotated[str, typer.Argument(help='id of the request; empty: the open one')] = '',
    person: Person = '',
    key: KeyFile = None,
    no: Annotated[bool, typer.Option('--no', help='refuse the plan')] = False,
    yes: Annotated[bool, typer.Option('--yes', help='do not ask again')] = False,
    wait: Wait = 10.0,
    namespace: Namespace = '',
) -> None:
    """Read what the gate asks, in the gate's own words, and answer it. Example: gemma4 gate approve --person anna"""
    name = person or getpass.getuser()
    with Errors(), running_gate(wait, namespace) as gate:
        request = gate.open_request(approval_id)
        print(visible(f'{request.proposer} proposed, plan {request.plan_sha256[:12]}:'))
        print('\n'.join(_marked(request)))
        if request.roles:
            print(visible(f'who approves has the role {", ".join(request.roles)}'))
        if not (yes or no or typer.confirm('Shall the robot do this?')):
            no = True
        signature = b'' if no or key is None else signer_of(key)(_text(request, name))
        print(gate.answer(request, name, approve=not no, signature=signature))


def _marked(request: Any) -> list[str]:
    """Return the lines of the rendering; what the last similar plan did not have is marked."""
    changed = set(request.changed_lines)
    lines = visible(request.rendering).split('\n')
    if not changed:
        return lines
    marked = [f'{">" if number in changed else " "} {line}' for number, line in enumerate(lines)]
    return [*marked, '(>: not in the most similar plan that was approved before)']


def _text(request: Any, person: str) -> bytes:
    """Return what is signed: the ids and hashes of the request, and the words that this terminal showed."""
    names = ('plan', 'policy', 'goals', 'tools', 'world')
    asked = {'approval': request.approval_id, 'boot': request.boot_id}
    return approval_text(
        {**asked, **{name: getattr(request, f'{name}_sha256') for name in names}}, person, request.rendering
    )


def sign(
    policy: Annotated[Path, typer.Argument(help='policy file')],
    key: Annotated[Path, typer.Option('--key', help='your private key, or the .pub of one that your SSH agent holds')],
) -> None:
    """Write POLICY.sig for the gate's parameter policy_key. Example: gemma4 gate sign policy.yaml --key KEY"""
    with Errors():
        signature = signer_of(key)(read_text(policy).encode())
        path = policy.with_name(policy.name + '.sig')
        path.write_text(signature.hex() + '\n', encoding='ascii')
    print(f'{path}: signed')


# Keys ----------------------------------------------------------------------------------------------------------------
@key_app.command('new')
def key_new(
    person: Annotated[str, typer.Argument(help='whose key')],
    out: Annotated[
        Path | None, typer.Option('--out', help='file; default: PERSON in ~/.config/gemma4_ros/keys')
    ] = None,
    no_passphrase: Annotated[bool, typer.Option('--no-passphrase', help='for machines, not for people')] = False,
) -> None:
    """Make a key for PERSON and print the line for the policy. Example: gemma4 gate key new anna"""
    with Errors():
        path = out or key_folder() / person
        new_key(path, person, '' if no_passphrase else _new_passphrase())
        line = policy_line(person, path.with_name(path.name + '.pub'))
    print(f'wrote {path} and {path}.pub; in the policy, below people:', file=sys.stderr)
    print(f'  {line}')


def _new_passphrase() -> str:
    if not sys.stdin.isatty():
        raise ConfigError('nobody can be asked for a passphrase here: run it in a terminal, or with --no-passphrase')
    first = getpass.getpass('new passphrase: ')
    if len(first) < 8:
        raise ConfigError(f'the passphrase has {len(first)} characters; at least 8 are wanted')
    if getpass.getpass('again: ') != first:
        raise ConfigError('the two passphrases differ; nothing was written')
    return first


@key_app.command('show')
def key_show(
    public: Annotated[Path, typer.Argument(help='public key file (.pub)')],
    person: Annotated[str, typer.Option('--person', help='whose key; default: the name of the file')] = '',
) -> None:
    """Print the line for the policy. Example: gemma4 gate key show ~/.config/gemma4_ros/keys/anna.pub"""
    with Errors():
        print(f'  {policy_line(person or public.name.removesuffix(".pub"), public)}')


# Lock-outs -----------------------------------------------------------------------------------------------------------
@lockout_app.command('add')
def lockout_add(
    reason: Annotated[str, typer.Argument(help='why; everybody reads it')],
    person: Person = '',
    wait: Wait = 10.0,
    namespace: Namespace = '',
) -> None:
    """Lock the robot: nothing moves until you take the lock off. Example: gemma4 gate lockout add "belt off" """
    with Errors(), running_gate(wait, namespace) as gate:
        print(gate.set_lockout(0, person or getpass.getuser(), reason))


@lockout_app.command('clear')
def lockout_clear(person: Person = '', wait: Wait = 10.0, namespace: Namespace = '') -> None:
    """Take your own lock off. Example: gemma4 gate lockout clear --person anna"""
    with Errors(), running_gate(wait, namespace) as gate:
        print(gate.set_lockout(1, person or getpass.getuser(), ''))


@lockout_app.command('list')
def lockout_list(as_json: AsJson = False, wait: Wait = 10.0, namespace: Namespace = '') -> None:
    """Show whose locks are on; exit 4 where some are. Example: gemma4 gate lockout list"""
    import json

    with Errors(), running_gate(wait, namespace) as gate:
        people = gate.locked_by()
    print(json.dumps({'locked_by': people}) if as_json else '\n'.join(map(visible, people)) or 'no lock is on')
    raise typer.Exit(REFUSED if people else DONE)
