"""Systems: complete methods, one paper each."""

from thrum.systems.base import SYSTEMS, System, create_system, load_system

__all__ = ["SYSTEMS", "System", "create_system", "load_system"]
