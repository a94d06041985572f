# SPDX-License-Identifier: Apache-2.0
"""The gate's configuration: world, tools and policy, with their hashes and signature. Needs no ROS."""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gemma4_ros.core.errors import ConfigError, PolicyError
from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.policy_file import load_policy
from gemma4_ros.core.gate.signing import is_signed
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world import load_world
from gemma4_ros.ros.gate_files import CELL_TOOLS, config_folder, files_in, read_text

__all__ = ['GateFiles', 'expiry_s', 'load_catalogue', 'load_gate', 'public_key', 'signer']


@dataclass(frozen=True)
class GateFiles:
    """Which files: a folder, and names below it (or absolute ones)."""

    config: str = ''
    world: str = 'world.yaml'
    tools: tuple[str, ...] = CELL_TOOLS
    policy: str = 'policy.yaml'
    policy_key: str = ''


def load_catalogue(files: GateFiles) -> Catalogue:
    """Load world and tools; raise ConfigError that names file and line."""
    folder = config_folder(files.config)
    world_path = folder / Path(files.world).expanduser()
    world_text = read_text(world_path)
    world = load_world(world_text, str(world_path))
    texts = [(str(path), read_text(path)) for path in files_in(folder, files.tools)]
    tools = load_tools(texts, world)
    joined = '\0'.join(text for _, text in texts)
    return Catalogue(world, tools, _sha256(world_text), _sha256(joined))


def load_gate(files: GateFiles) -> tuple[Policy, Catalogue]:
    """Load policy and catalogue; raise ConfigError that names file and line."""
    catalogue = load_catalogue(files)
    path = config_folder(files.config) / Path(files.policy).expanduser()
    text = read_text(path)
    if files.policy_key:
        _check_signature(path, text, public_key(Path(files.policy_key).expanduser()))
    return load_policy(text, str(path), catalogue.toolset), catalogue


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


def _check_signature(path: Path, text: str, key: bytes) -> None:
    signature_path = path.with_name(path.name + '.sig')
    try:
        signature = bytes.fromhex(read_text(signature_path).strip())
    except ValueError:
        raise PolicyError(f'{signature_path}: not a signature in hexadecimal; make it: gemma4 gate sign') from None
    if not is_signed(key, signature, text.encode()):
        raise PolicyError(f'{path}: the signature in {signature_path.name} is not of these bytes and that key')


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode('utf-8')).hexdigest()
