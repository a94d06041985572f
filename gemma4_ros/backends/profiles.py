# SPDX-License-Identifier: Apache-2.0
"""The models of config/models.yaml."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemma4_ros.backends.models_schema import MODELS
from gemma4_ros.core import documents
from gemma4_ros.core.errors import ModelsError
from gemma4_ros.core.nearest import suggest

__all__ = ['HubSource', 'ModelProfile', 'PackageSource', 'Profiles', 'load_profiles', 'models_file']

_BUFFERS = 1.1  # weights and cache plus what llama.cpp computes in


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A file cut into ``parts`` packages of the Python package index; ``{n}`` in ``name`` counts from 1."""

    name: str
    version: str
    parts: int


@dataclass(frozen=True, slots=True)
class HubSource:
    """A file of a model hub's repository at one revision."""

    repository: str
    revision: str


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """
    One entry of config/models.yaml; None stands for a figure that is not known.

    Attributes
    ----------
    context_tokens : int
        That the engine sets up by default, over all prompts it keeps warm.
    trained_context_tokens : int, optional
        That the model was made for.
    kv_bytes_per_token : int, optional
        Of the cache, 16-bit, sliding-window layers in full.
    template : str
        ``gguf``: the file's own chat template; ``chatml``: for files without one.

    """

    id: str
    name: str
    file: str
    size_bytes: int | None = None
    sha256: str | None = None
    context_tokens: int = 8192
    template: str = 'gguf'
    doc: str = ''
    licence: str = ''
    source: PackageSource | HubSource | None = None
    modalities: tuple[str, ...] = ('text',)
    trained_context_tokens: int | None = None
    kv_bytes_per_token: int | None = None

    def memory_bytes(self, context_tokens: int | None = None) -> int | None:
        """Return what weights, cache and buffers take together, or None if that is not known."""
        if self.size_bytes is None or self.kv_bytes_per_token is None:
            return None
        return int((self.size_bytes + self.kv_bytes_per_token * (context_tokens or self.context_tokens)) * _BUFFERS)


@dataclass(frozen=True, slots=True)
class Profiles:
    """All entries by id, in the file's order, and the id of the default."""

    default: str
    by_id: Mapping[str, ModelProfile]

    def get(self, model_id: str = '') -> ModelProfile:
        """Return an entry, the default for ''; raise ModelsError that names the nearest id otherwise."""
        model_id = model_id or self.default
        if model_id not in self.by_id:
            raise ModelsError(f'no model {model_id!r} in models.yaml{suggest(model_id, list(self.by_id))}')
        return self.by_id[model_id]


def models_file() -> Path:
    """Return config/models.yaml of the source tree, or of the installed package."""
    places = [Path(__file__).resolve().parents[2] / 'config']
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    places += [Path(prefix) / 'share' / 'gemma4_ros' / 'config' for prefix in prefixes if prefix]
    for place in places:
        if (place / 'models.yaml').is_file():
            return place / 'models.yaml'
    raise ModelsError('models.yaml is not found: run from the source tree, or source install/local_setup.sh first')


def load_profiles(path: Path | None = None) -> Profiles:
    """
    Read and check a models.yaml.

    Parameters
    ----------
    path : Path, optional
        Default: models_file().

    Raises
    ------
    ModelsError
        Names file, line, entry and what is wrong.

    """
    path = path or models_file()
    try:
        text = path.read_text(encoding='utf-8')
    except OSError as error:
        raise ModelsError(f'{path} cannot be read: {error.strerror}') from error
    except UnicodeDecodeError as error:
        raise ModelsError(f'{path} is not UTF-8: {error}') from error
    document = documents.load(text, path.name, MODELS, ModelsError)
    by_id = {model_id: _profile(model_id, entry) for model_id, entry in document.root['profiles'].items()}
    default = document.root['default']
    if default not in by_id:
        raise ModelsError(f'{document.at(("default",))}: no model {default!r}{suggest(default, list(by_id))}')
    return Profiles(default, by_id)


def _profile(model_id: str, entry: dict[str, Any]) -> ModelProfile:
    source = entry['source']
    fields = {key: value for key, value in entry.items() if key not in ('source', 'projector', 'modalities')}
    return ModelProfile(
        id=model_id,
        source=PackageSource(**source['packages']) if 'packages' in source else HubSource(**source['hub']),
        modalities=tuple(entry['modalities']),
        **fields,
    )
