"""The running monitor: sound comes in, is judged, and who must know is told. The only room with a clock.

``config`` what is watched | ``running`` all of it started and stopped | ``inputs`` what brings sound,
``health`` how
each is, ``window`` clips out of sound that does not end, ``intake`` from sound to a clip that will be
judged |
``store`` the database and the audio | ``judging`` clips judged, exactly once, ``rules`` from judgements
to the state
of a machine, ``answers`` what people say of alarms | ``demo`` simulated machines.

One clip's way: input → window → intake → store → judging → rules → alarm → out; no step calls back.
"""
