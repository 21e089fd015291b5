"""Runs a monitor that ``thrum export`` wrote: onnxruntime, NumPy and soundfile, no PyTorch.

``model`` one clip in, score, p-value and state out | ``sound`` clips of files | ``microphone`` clips of a
room | ``alarms`` what clips say together | ``telling`` whom the command names: ``posting`` to an address,
``mqtt`` to a broker, an ``outbox`` each | ``cli`` the command.
"""

from thrum_edge.alarms import Stream
from thrum_edge.errors import EdgeError
from thrum_edge.model import Model, Reading

__version__ = "0.1.0.dev0"
__all__ = ["EdgeError", "Model", "Reading", "Stream", "__version__"]
