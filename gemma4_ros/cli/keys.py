# SPDX-License-Identifier: Apache-2.0
"""Ed25519 keys of people: files in OpenSSH form, with a passphrase, or held by an SSH agent."""

from __future__ import annotations

import base64
import getpass
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gemma4_ros.core.errors import ConfigError
from gemma4_ros.ros.gate_config import public_key

__all__ = ['key_folder', 'new_key', 'policy_line', 'signer_of']

Signer = Callable[[bytes], bytes]
MAX_AGENT_ANSWER = 1 << 18
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14  # draft-ietf-sshm-ssh-agent, section 3


def key_folder() -> Path:
    """Return where a person's keys lie."""
    base = os.environ.get('XDG_CONFIG_HOME') or '~/.config'
    return Path(base).expanduser() / 'gemma4_ros' / 'keys'


def new_key(path: Path, person: str, passphrase: str) -> None:
    """Write a private key (mode 0600) and its ``.pub``; raise ConfigError where a file is there already."""
    public_path = path.with_name(path.name + '.pub')
    for each in (path, public_path):
        if each.exists():
            raise ConfigError(f'{each} is there already; a key is never overwritten')
    key = Ed25519PrivateKey.generate()
    lock = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    form, plain = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, lock)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, 'wb') as file:
            file.write(private)
        public_path.write_bytes(key.public_key().public_bytes(form, plain) + f' {person}\n'.encode())
    except OSError as error:
        raise ConfigError(f'cannot write {path}: {error.strerror}') from None


def policy_line(person: str, public: Path) -> str:
    """Return the line for ``people`` in the policy."""
    return f'{person}: {{key: "{base64.b64encode(public_key(public)).decode()}", roles: [operator]}}'


def signer_of(path: Path, ask: Callable[[str], str] = getpass.getpass) -> Signer:
    """
    Return what signs with a key.

    Parameters
    ----------
    path : Path
        A private key, whose passphrase is asked for where it has one; or a public one (``.pub``) whose private half an
        SSH agent holds.
    ask : callable
        Asks for the passphrase.

    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f'cannot read {path}: {error.strerror}; make one: gemma4 gate key new') from None
    if data.startswith(b'ssh-'):
        return _agent(path)
    try:
        key = serialization.load_ssh_private_key(data, password=None)
    except TypeError:
        key = _unlocked(path, data, ask(f'passphrase of {path}: '))
    except ValueError as error:
        raise ConfigError(f'{path}: no private key in OpenSSH form: {error}') from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f'{path}: not an Ed25519 key; make one: gemma4 gate key new')
    return key.sign


def _unlocked(path: Path, data: bytes, passphrase: str) -> object:
    try:
        return serialization.load_ssh_private_key(data, password=passphrase.encode())
    except ValueError:
        raise ConfigError(f'{path}: the passphrase is wrong') from None


def _agent(path: Path) -> Signer:
    """Return a signer by the SSH agent; raise ConfigError where there is none."""
    where = os.environ.get('SSH_AUTH_SOCK', '')
    if not where:
        raise ConfigError(f'{path} is a public key and no SSH agent runs (SSH_AUTH_SOCK); name the private key')
    blob = _field(b'ssh-ed25519') + _field(public_key(path))

    def sign(text: bytes) -> bytes:
        request = bytes((_SIGN_REQUEST,)) + _field(blob) + _field(text) + struct.pack('>I', 0)
        try:
            with socket.socket(socket.AF_UNIX) as agent:
                agent.settimeout(60.0)  # an agent may ask its owner
                agent.connect(where)
                agent.sendall(_field(request))
                answer = _read(agent, struct.unpack('>I', _read(agent, 4))[0])
        except (OSError, struct.error) as error:
            raise ConfigError(f'the SSH agent at {where} does not answer: {error}') from None
        if answer[:1] != bytes((_SIGN_RESPONSE,)):
            raise ConfigError(f'the SSH agent does not sign with {path}; add the key to it: ssh-add')
        return answer[-64:]

    return sign


def _field(data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + data


def _read(agent: socket.socket, count: int) -> bytes:
    if count > MAX_AGENT_ANSWER:
        raise OSError('it sends too much')
    data = b''
    while len(data) < count:
        part = agent.recv(count - len(data))
        if not part:
            raise OSError('it hung up')
        data += part
    return data
