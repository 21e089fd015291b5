"""Embedders: frozen models that turn sound into vectors."""

from thrum.embedders.base import EMBEDDERS, Embedder, create_embedder

__all__ = ["EMBEDDERS", "Embedder", "create_embedder"]
