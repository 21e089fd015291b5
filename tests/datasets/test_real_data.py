"""The readers on real recordings, real file names and real truth."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from thrum.datasets import arrays, open_dataset
from thrum.datasets.check import check
from thrum.types import Dataset

pytestmark = pytest.mark.data


def counts(dataset: Dataset) -> Counter:
    return Counter(
        (clip.machine, clip.machine_id.removeprefix("id_"), clip.split, clip.label)
        for clip in dataset
    )


def test_the_testbed_is_what_its_manifest_says(shared: Path) -> None:
    dataset = open_dataset(shared / "testbed" / "audio")
    with (shared / "testbed" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert counts(dataset) == Counter(
        (row["machine"], row["id"], row["split"], row["label"]) for row in rows
    )
    assert {clip.path.relative_to(dataset.root).as_posix() for clip in dataset} == {
        row["file"] for row in rows
    }
    assert dataset.left_out == ()


def test_every_recording_of_the_testbed_is_good(shared: Path) -> None:
    report = check(open_dataset(shared / "testbed" / "audio"))
    assert report.bad == ()
    assert {rate for machine in report.machines for rate in machine.sample_rates} == {16000}


def test_the_log_mel_testbed(shared: Path) -> None:
    dataset = open_dataset(shared / "testbed" / "toycar_logmel")
    assert set(counts(dataset).values()) == {150, 60, 90}
    assert len(dataset) == 4 * 300
    clips = dataset.where(machine_id="id_03", label="anomaly").clips
    with np.load(shared / "testbed" / "toycar_logmel" / "ToyCar_id_03.npz") as file:
        names, values = file["test_anomaly_name"], file["test_anomaly"]
    assert [clip.name for clip in clips] == names.tolist()
    np.testing.assert_array_equal(arrays.read_features(clips), values.astype(np.float32))


@pytest.mark.parametrize("year", [2021, 2022, 2023, 2024, 2025])
def test_the_truth_of_evaluation_recordings(shared: Path, tree, year: int) -> None:
    """Recordings of the names that the truth lists get its labels and domains."""
    truth = shared / "evaluator_cases" / f"dcase{year}" / "ground_truth"
    tables = sorted((truth / "ground_truth_data").glob("*.csv"))[:2]
    root, wanted = None, Counter()
    for table in tables:
        machine = table.stem.split("_")[2]
        folder = "source_test" if "source_test" in table.stem else "test"
        folder = "target_test" if "target_test" in table.stem else folder
        labels = [line.split(",") for line in table.read_text().split()]
        root = tree(f"{machine}/{folder}/{name}" for name, _ in labels)
        domain_table = truth / "ground_truth_domain" / table.name
        if domain_table.exists():
            domains = dict(line.split(",") for line in domain_table.read_text().split())
        else:
            domains = {name: "0" if "source" in name else "1" for name, _ in labels}
        for name, label in labels:
            wanted[
                machine,
                name,
                ["normal", "anomaly"][int(label)],
                ["source", "target"][int(domains[name])],
            ] += 1
    (root / "ground_truth").symlink_to(truth)
    dataset = open_dataset(root)
    assert Counter((c.machine, c.name, c.label, c.domain) for c in dataset) == wanted
    assert dataset.left_out == ()


def test_the_truth_of_2020(shared: Path, tree) -> None:
    truth = shared / "evaluator_cases" / "dcase2020" / "ground_truth"
    rows = [line.split(",") for line in (truth / "eval_data_list.csv").read_text().split()]
    machine, wanted = "", {}
    for row in rows:
        if len(row) == 1:
            (machine,) = row
        elif machine in ("pump", "ToyCar"):
            wanted[machine, row[0]] = ["normal", "anomaly"][int(row[2])]
    root = tree(f"{machine}/test/{name}" for machine, name in wanted)
    (root / "eval_data").mkdir()
    (root / "eval_data" / "ground_truth").symlink_to(truth)
    assert {(clip.machine, clip.name): clip.label for clip in open_dataset(root)} == wanted


def test_the_names_of_development_recordings_of_2022(shared: Path, tree) -> None:
    names = [
        f"{table.stem.split('_')[2]}/test/{line.split(',')[0]}"
        for table in sorted(
            (shared / "evaluator_cases/dcase2022_dev_real/gmm_mix_1").glob("*00.csv")
        )
        for line in table.read_text().split()
    ]
    dataset = open_dataset(tree(names))
    assert counts(dataset) == {
        (machine, "section_00", "test", label): 100
        for machine in dataset.machines
        for label in ("normal", "anomaly")
    }
    assert Counter(clip.domain for clip in dataset) == {"source": 700, "target": 700}
    assert {machine: sorted({key for clip in dataset.where(machine=machine) for key in clip.attributes})
            for machine in dataset.machines} == {
        "ToyCar": ["car", "mic", "noise", "spd"],
        "ToyTrain": ["car", "mic", "noise", "spd"],
        "bearing": ["vel"],
        "fan": ["m-n"],
        "gearbox": ["volt"],
        "slider": ["vel"],
        "valve": ["pat"],
    }  # fmt: skip
