"""Embedders: frozen models that turn sound into vectors, and the store of what they gave."""

from thrum.embedders.base import EMBEDDERS, Embedder, create_embedder
from thrum.embedders.store import EmbeddingStore, embed_into

__all__ = ["EMBEDDERS", "Embedder", "EmbeddingStore", "create_embedder", "embed_into"]
