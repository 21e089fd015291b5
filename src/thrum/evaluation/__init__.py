"""What scores are worth: metrics, the official evaluation, tables. Knows scores only, no system."""

from thrum.evaluation.dcase import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
