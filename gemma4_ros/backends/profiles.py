# SPDX-License-Identifier: Apache-2.0
"""The models of config/models.yaml."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ['ModelProfile']


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """One entry of config/models.yaml; None stands for a figure that is not known."""

    id: str
    name: str
    file: str
    size_bytes: int | None = None
    sha256: str | None = None
    context_tokens: int = 8192
    template: str = 'gguf'
