"""Every clip is read, every bad one named, and the rest goes on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from thrum.datasets import open_dataset
from thrum.datasets.check import check


def test_good_recordings_are_counted_and_described(tree) -> None:
    root = tree(
        [
            "fan/train/section_00_source_train_normal_0000.wav",
            "fan/train/section_00_target_train_normal_0000.flac",
            "fan/test/section_00_source_test_anomaly_0000.wav",
            "fan/test/section_00_0001.wav",
            "fan/supplemental/noise.wav",
        ]
    )
    soundfile.write(root / "fan/test/section_00_0002.wav", np.full((44100, 2), 0.1), 44100)
    report = check(open_dataset(root))
    assert report.ok
    assert report.mapping() == {
        "ok": True,
        "name": "data",
        "root": str(root),
        "holds": "audio",
        "machines": (
            {
                "machine": "fan",
                "machine_id": "section_00",
                "clips": {"train normal": 2, "test unlabelled": 2, "test anomaly": 1},
                "domains": {"source": 2, "target": 1},
                "sample_rates": [16000, 44100],
                "channels": [1, 2],
                "frames": [],
                "dimensions": [],
                "seconds": (0.01, 1.0, 1.04),
                "channel": None,
                "names": {
                    "train normal source": ["section_00_source_train_normal_0000.wav"],
                    "train normal target": ["section_00_target_train_normal_0000.flac"],
                    "test unlabelled": ["section_00_0001.wav", "section_00_0002.wav"],
                    "test anomaly source": ["section_00_source_test_anomaly_0000.wav"],
                },
                "counts": {
                    "train normal source": 1,
                    "train normal target": 1,
                    "test unlabelled": 2,
                    "test anomaly source": 1,
                },
            },
        ),
        "bad": (),
        "left_out": ((str(root / "fan" / "supplemental"), report.left_out[0][1]),),
        "findings": tuple(asdict(finding) for finding in report.findings),
    }
    assert {finding.kind: finding.count for finding in report.findings} == {
        "constant": 1,
        "few clips": 2,
        "rates": 1,
        "short": 4,
    }


def test_every_bad_recording_is_named_and_the_rest_goes_on(tree) -> None:
    names = [
        f"press/normal/{name}.wav" for name in ("good", "text", "cut", "silent", "nan", "gone")
    ]
    root = tree([*names, "lathe/normal/good.wav"])
    folder = root / "press" / "normal"
    (folder / "text.wav").write_text("words")
    (folder / "cut.wav").write_bytes((folder / "good.wav").read_bytes()[:-10])
    soundfile.write(folder / "silent.wav", np.zeros(0), 16000)
    soundfile.write(folder / "nan.wav", np.full(10, np.nan), 16000, subtype="FLOAT")
    dataset = open_dataset(root)
    (folder / "gone.wav").unlink()
    told: list[tuple[str, int, int]] = []
    report = check(dataset, progress=lambda *news: told.append(news))
    assert not report.ok
    assert told == [("reading every clip", done, 7) for done in range(1, 8)]
    reasons = {Path(bad.path).stem: bad.reason for bad in report.bad}
    wanted = {
        "cut": "cut short",
        "gone": "no recording at",
        "nan": "10 samples that are NaN",
        "silent": "holds no sound",
        "text": "cannot be read as audio",
    }
    assert reasons.keys() == wanted.keys()
    assert all(wanted[name] in reason for name, reason in reasons.items())
    assert [machine.seconds for machine in report.machines] == [
        pytest.approx((0.01, 0.01, 0.01)),
        pytest.approx((0.01, 0.01, 0.01)),
    ]


def test_features(tmp_path: Path) -> None:
    values = np.ones((3, 4, 5))
    values[1] = np.inf
    np.savez(tmp_path / "fan_id_00.npz", train_normal=values, test_anomaly=np.ones((2, 7, 5)))
    report = check(open_dataset(tmp_path))
    (machine,) = report.machines
    assert machine.clips == {"train normal": 3, "test anomaly": 2}
    assert (machine.frames, machine.dimensions, machine.seconds) == ([4, 7], [5], None)
    assert [bad.clip for bad in report.bad] == ["train_normal_0001"]
