# SPDX-License-Identifier: Apache-2.0
"""The model of this machine by its id: looked up, checked, and loaded into this process or a child."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gemma4_ros.backends.engine import EngineClient, EngineOptions, EngineStatus
from gemma4_ros.backends.llama_cpp import LlamaCppModel
from gemma4_ros.backends.model_store import ModelStore, cache_folder
from gemma4_ros.backends.profiles import load_profiles

__all__ = ['load_in_process', 'prefix_folder', 'start_engine']


def prefix_folder() -> Path:
    """Return where evaluated prompts are kept across restarts."""
    return cache_folder() / 'prefixes'


def load_in_process(model_id: str = '', n_threads: int | None = None, n_ctx: int | None = None) -> LlamaCppModel:
    """Load a model into this process, the default of models.yaml for ''; raise what LlamaCppModel raises."""
    profile = load_profiles().get(model_id)
    return LlamaCppModel(profile, ModelStore().path(profile), n_threads, n_ctx, prefix_folder=prefix_folder())


def start_engine(
    model_id: str,
    options: EngineOptions,
    on_status: Callable[[EngineStatus], None] | None = None,
    folder: Path | None = None,
) -> EngineClient:
    """Start the child for a model, or wait for its file; raise ModelsError for an id that models.yaml does not have."""
    profile = load_profiles(options.models_file).get(model_id)
    return EngineClient(profile, ModelStore(folder).path(profile), options, on_status)
