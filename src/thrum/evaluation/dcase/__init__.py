"""The official evaluation of DCASE Challenge Task 2, 2020 to 2025, to the digit."""

from thrum.evaluation.dcase.score import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
