"""The federation deployed on NVFlare 2.9: separate machines, mutual TLS, one job a round.

The only package that knows the engine; `thrum.federation.site` and `server` run here as they run in
one process. At each machine two things run: the command that a person started, which does the
site's heavy work and is the only one to speak to that person; and beside it the engine's processes,
which carry messages (and train, at the server) and end with the command.

``kit`` the start-up kits of provisioning | ``settings`` what a command hands to the engine's
processes | ``state`` what they tell it | ``engine`` and ``process`` start and end them | ``policy``
what they may run | ``endpoints`` what they do run | ``operator`` submits the job | ``rounds`` a
round as the machine of the server and that of a site live it.
"""
