# SPDX-License-Identifier: Apache-2.0
"""Which files configure the gate, what they say, and the keys that it uses. Needs no ROS."""

from __future__ import annotations

import datetime
import io
import json
import math
import pickle  # of our own child's output alone, restricted: _Documents
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shapely
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gemma4_ros.core.errors import ConfigError
from gemma4_ros.ros.gate_files import CELL_TOOLS, read_text

if TYPE_CHECKING:
    from gemma4_ros.core.gate.bind import Catalogue
    from gemma4_ros.core.gate.policy import Policy

__all__ = ['GateFiles', 'expiry_s', 'load', 'public_key', 'signer']
LOAD_S = 60.0
# -I: nothing of the folder that the node happens to run in; then the very paths of this process.
CHILD = (
    'import json, sys; sys.path[:] = json.loads(sys.argv[1]); from gemma4_ros.ros import gate_load; gate_load.main()'
)
TYPES = frozenset(
    f'gemma4_ros.core.{name}' for name in ('errors', 'facts', 'gate.bind', 'gate.policy', 'gate.zones', 'tool', 'world')
)


@dataclass(frozen=True)
class GateFiles:
    """Which files: a folder, and names below it (or absolute ones)."""

    config: str = ''
    world: str = 'world.yaml'
    tools: tuple[str, ...] = CELL_TOOLS
    policy: str = 'policy.yaml'
    policy_key: str = ''


def load(files: GateFiles) -> tuple[Policy, Catalogue]:
    """
    Load policy and catalogue in a process of its own, which is gone afterwards (`gate_load`).

    Raises
    ------
    ConfigError
        A file is wrong: as `gate_load.load_gate` says it. Or the process failed, or took longer than `LOAD_S`.

    """
    names = {field.name: getattr(files, field.name) for field in fields(GateFiles)}
    command = [sys.executable, '-I', '-c', CHILD, json.dumps(sys.path)]
    try:
        run = subprocess.run(command, input=json.dumps(names).encode(), capture_output=True, timeout=LOAD_S, check=True)
    except subprocess.TimeoutExpired:
        raise ConfigError(f'the configuration {files.config!r} took longer than {LOAD_S:g} s to load') from None
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors='replace').strip().rpartition('\n')[2]
        raise ConfigError(f'the configuration could not be loaded: {last}') from None
    except OSError as error:
        raise ConfigError(f'the configuration could not be loaded: {sys.executable}: {error.strerror}') from None
    try:
        outcome = _Documents(io.BytesIO(run.stdout)).load()
    except Exception as error:  # noqa: BLE001 - pickle raises many kinds for what is no document
        raise ConfigError(f'the configuration could not be loaded: {type(error).__name__}: {error}') from None
    if isinstance(outcome, Exception):
        raise outcome
    policy, catalogue = outcome
    for area in policy.zones.areas if policy.zones else ():
        shapely.prepare(area.shape)  # the index of a shape does not travel
    return policy, catalogue


class _Documents(pickle.Unpickler):
    """Builds the stack's own types and areas, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ('shapely.io', 'from_wkb'):
            return shapely.from_wkb
        found = super().find_class(module, name) if module in TYPES and '.' not in name else None
        if isinstance(found, type) and found.__module__ == module:  # defined there, not what that module imports
            return found
        raise pickle.UnpicklingError(f'{module}.{name} is no part of a configuration')


def expiry_s(policy: Policy, wall_s: float, steady_s: float) -> float:
    """Return when a policy expires, s of the steady clock: at the end of its last day, UTC."""
    if not policy.expires:
        return math.inf
    day = datetime.datetime.fromisoformat(policy.expires).replace(tzinfo=datetime.timezone.utc)
    return steady_s + (day + datetime.timedelta(days=1)).timestamp() - wall_s


def public_key(path: Path) -> bytes:
    """Return the 32 bytes of an Ed25519 public key, OpenSSH or PEM; raise ConfigError."""
    data = read_text(path).encode()
    try:
        ssh = data.startswith(b'ssh-')
        key = serialization.load_ssh_public_key(data) if ssh else serialization.load_pem_public_key(data)
    except ValueError as error:
        raise ConfigError(f'{path}: no public key: {error}') from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f'{path}: not an Ed25519 key; make one: gemma4 gate key new')
    return key.public_bytes_raw()


def signer(path: str) -> Callable[[bytes], bytes] | None:
    """Return what signs with a private key file without passphrase; None without a path; raise ConfigError."""
    if not path:
        return None
    try:
        key = serialization.load_ssh_private_key(read_text(Path(path).expanduser()).encode(), password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f'{path}: no private key without passphrase: {error}') from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f'{path}: not an Ed25519 key; make one: gemma4 gate key new')
    return key.sign
