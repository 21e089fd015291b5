"""What a site can do alone: the methods that collaboration is measured against.

``autoencoder`` and ``mobilenetv2`` the official baselines of DCASE task 2 | ``vae``, ``idnn`` (and VIDNN) and
``glow`` what the embedding-sharing paper compares with | ``knn`` distances of frozen embeddings | ``trained``
what all but the last share | ``frames``, ``windows`` what they begin with.
"""
