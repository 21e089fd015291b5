"""What brings sound: ``base`` what they share, ``folder``, ``stream``, ``microphone``, ``mqtt``,
``simulated``.

The interface of the web (`thrum.service.web.clips`) is the input ``http``.
"""
