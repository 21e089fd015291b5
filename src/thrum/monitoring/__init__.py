"""From a score to a decision, without clock, network or database.

``conformal`` p-values | ``asked`` how seldom | ``alarms`` rules with a promise, ``stream`` clip by clip |
``heard``, ``detail`` what clips sound like | ``states`` operating states | ``baseline`` the normal sound that
is known, ``history`` its versions, ``changing`` how it is changed | ``monitor`` all of it for one machine,
``opening`` from the folder of a run | ``occlusion``, ``differences``, ``explanation`` where and why.
"""

from thrum.monitoring.alarms import AlarmSettings
from thrum.monitoring.judgement import Judgement, Judgements
from thrum.monitoring.monitor import Monitor
from thrum.monitoring.opening import open_monitor
from thrum.monitoring.stream import Stream

__all__ = ["AlarmSettings", "Judgement", "Judgements", "Monitor", "Stream", "open_monitor"]
