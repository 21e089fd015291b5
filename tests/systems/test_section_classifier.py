from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import machines
from thrum.datasets import open_dataset
from thrum.datasets.arrays import read_features
from thrum.detectors.threshold import gamma_threshold
from thrum.errors import ConfigError, DataError
from thrum.systems.baselines.mobilenetv2 import Config, SectionClassifierBaseline
from thrum.types import Dataset

QUICK = Config(stack_frames=16, hop_frames=4, width=0.1, epochs=1, batch_size=16)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(machines.write_arrays(tmp_path_factory.mktemp("arrays")))


@pytest.fixture(scope="module")
def fitted(dataset: Dataset) -> SectionClassifierBaseline:
    return SectionClassifierBaseline(QUICK, device="cpu").fit(dataset.where(split="train"))


def test_the_score_is_eq_6_over_images_every_hop(
    fitted: SectionClassifierBaseline, dataset: Dataset
) -> None:
    network = fitted.fitted_["Press"].network
    for section, machine_id in enumerate(["id_00", "id_01", "id_02"]):
        clip = dataset.where(split="test", machine_id=machine_id).clips[0]
        frames = np.float32(np.float16(read_features([clip])[0]))  # (24, 12)
        images = torch.from_numpy(np.stack([frames[at : at + 16] for at in (0, 4, 8)]))
        with torch.inference_mode():
            probabilities = network(images).double().softmax(dim=1)[:, section].tolist()
        wanted = sum(math.log((1 - p) / p) for p in probabilities) / 3
        assert fitted.score([clip]).columns["posterior"][0] == pytest.approx(wanted, rel=1e-4)


def test_thresholds_are_of_the_training_clips_of_all_sections(
    fitted: SectionClassifierBaseline, dataset: Dataset
) -> None:
    normal = fitted.score(dataset.where(split="train")).columns["posterior"]
    assert fitted.thresholds == pytest.approx(
        dict.fromkeys(dataset.machine_keys, gamma_threshold(normal))
    )


def test_the_only_machine_of_a_type_cannot_be_told_from_others(
    dataset: Dataset, tmp_path: Path
) -> None:
    alone = open_dataset(machines.write_arrays(tmp_path, machines=1, kind="Saw"))
    with pytest.raises(DataError, match=r"Saw/id_00 is the only machine.*network_per = 'all'"):
        SectionClassifierBaseline(QUICK, device="cpu").fit(alone.where(split="train"))
    system = SectionClassifierBaseline(replace(QUICK, network_per="all"), device="cpu")
    system.fit([*alone.where(split="train"), *dataset.where(split="train")])
    assert system.fitted_["all machines"].network.classifier.out_features == 4
    assert np.isfinite(system.score(alone.where(split="test")).columns["posterior"]).all()


def test_the_width_is_checked() -> None:
    with pytest.raises(ConfigError, match="width is 1.4, wanted more than 0 and 1 at most"):
        Config(width=1.4)
