# SPDX-License-Identifier: Apache-2.0
"""The gate's configuration: world, tools and policy, with their hashes. Needs no ROS."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.policy import Policy, load_policy
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world import load_world
from gemma4_ros.ros.gate_files import CELL_TOOLS, config_folder, files_in, read_text

__all__ = ['GateFiles', 'load_catalogue', 'load_gate']


@dataclass(frozen=True)
class GateFiles:
    """Which files: a folder, and names below it (or absolute ones)."""

    config: str = ''
    world: str = 'world.yaml'
    tools: tuple[str, ...] = CELL_TOOLS
    policy: str = 'policy.yaml'


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
    return load_policy(read_text(path), str(path), catalogue.toolset), catalogue


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode('utf-8')).hexdigest()
