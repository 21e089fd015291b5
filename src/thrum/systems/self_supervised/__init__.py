"""Self-supervised classification (Wang, Du and Wang, APSIPA ASC 2022) on one to three features.

``config`` what can be set | ``inputs`` what the network is given of a clip | ``wav2vec2`` the pretrained
features, ``fine_tuning`` them on machines | ``network`` features, TDNN and heads | ``fitting`` batches and
loss | ``scoring`` eqs. 6 and 7 | ``system`` all of it in one place, as a System.
"""

from thrum.systems.self_supervised.config import Config
from thrum.systems.self_supervised.system import SelfSupervised

__all__ = ["Config", "SelfSupervised"]
