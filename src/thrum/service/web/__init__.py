"""What the network sees: ``application`` all together, ``guard`` who comes in, ``entrance`` signing in,
``clips``
the interface for sound, ``status`` health, metrics and figures, ``sound`` audio and pictures, ``words``
the three
languages, ``pages`` the dashboard.
"""
