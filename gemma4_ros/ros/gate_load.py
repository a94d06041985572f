# SPDX-License-Identifier: Apache-2.0
"""
Load the gate's configuration: world, tools and policy, with their hashes and signature. Needs no ROS.

The gate itself runs this module as a process of its own (`gate_config.load`): what reads YAML, JSON Schemas and regular
expressions is gone before the gate is there for anybody.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import sys
from pathlib import Path

from gemma4_ros.core.errors import Gemma4Error, PolicyError
from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.policy_file import load_policy
from gemma4_ros.core.gate.signing import is_signed
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world
from gemma4_ros.ros.gate_config import GateFiles, public_key
from gemma4_ros.ros.gate_files import config_folder, files_in, read_text

__all__ = ['load_catalogue', 'load_gate', 'main']


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


def main() -> None:
    """Read the names of the files from standard input, JSON; write what they say, or the error, pickled."""
    names = json.load(sys.stdin)
    files = GateFiles(**{**names, 'tools': tuple(names['tools'])})
    try:
        outcome: tuple[Policy, Catalogue] | Gemma4Error = load_gate(files)
    except Gemma4Error as error:
        outcome = error
    sys.stdout.buffer.write(pickle.dumps(outcome, protocol=5))


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
