"""Scores between rounds, where the ID classifier stays at the server (Algorithm 2).

``messages`` what is asked | ``kept`` what a server keeps of a round, opened | ``admission`` who may ask, and
each question once | ``signing`` by a site's key | ``service`` over HTTPS | ``asking`` from a site.
"""
