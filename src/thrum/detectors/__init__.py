"""Detectors: from vectors of normal sound to an anomaly score."""

from thrum.detectors.base import DETECTORS, Detector, create_detector

__all__ = ["DETECTORS", "Detector", "create_detector"]
