"""Learning curves: what scores are worth when the scored site has few normal clips.

``draws`` says which clips a site has and who its neighbours are, ``methods`` what is made of them without
training, ``training`` what is made of them with it, and ``filling`` does it for every machine ID of a cell.
"""
