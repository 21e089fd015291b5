"""What a site can do alone: the methods that collaboration is measured against.

``autoencoder`` the official baseline of DCASE task 2 | ``knn`` distances of frozen embeddings | ``frames``
what both begin with.
"""
