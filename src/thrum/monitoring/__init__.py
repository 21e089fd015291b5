"""From a score to a decision, without clock, network or database.

``conformal`` p-values | ``asked`` how seldom | ``alarms`` rules with a promise, ``stream`` clip by clip.
"""
