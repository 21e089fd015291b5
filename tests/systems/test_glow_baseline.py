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
from thrum.errors import ConfigError
from thrum.systems.baselines.glow import Config, GlowBaseline
from thrum.types import Dataset

QUICK = Config(stack_frames=8, hop_frames=4, levels=2, steps=1, hidden=4, epochs=1, batch_size=16)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(machines.write_arrays(tmp_path_factory.mktemp("arrays")))


def test_the_score_is_the_likelihood_of_a_value_over_patches_every_hop(dataset: Dataset) -> None:
    system = GlowBaseline(QUICK, device="cpu").fit(dataset.where(split="train"))
    clip = dataset.where(split="test", machine_id="id_01").clips[0]
    frames = np.float32(np.float16(read_features([clip])[0]))  # (24, 12)
    patches = torch.from_numpy(np.stack([frames[at : at + 8] for at in (0, 4, 8, 12, 16)]))
    network = system.fitted_["Press/id_01"].network
    with torch.inference_mode():
        latents, log_determinants = network(patches)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(latents).sum(dim=1)
    wanted = -(normal + log_determinants).mean().item() / (8 * 12)
    assert system.score([clip]).columns["nll"][0] == pytest.approx(wanted, rel=1e-5)
    assert list(system.fitted_) == ["Press/id_00", "Press/id_01", "Press/id_02"]


def test_independent_noise_is_described_as_well_as_can_be(tmp_path: Path) -> None:
    """No flow can do better than the entropy of what it learns, and one of noise comes near."""
    random = np.random.default_rng(0)
    noise = random.normal(size=(60, 24, 8)) * np.arange(1, 9) - 20
    np.savez(tmp_path / "Noise_id_00.npz", train_normal=noise[:40], test_normal=noise[40:])
    dataset = open_dataset(tmp_path)
    entropy = 0.5 * math.log(2 * math.pi * math.e) + np.log(np.arange(1, 9)).mean()
    system = GlowBaseline(replace(QUICK, epochs=3), device="cpu").fit(dataset.where(split="train"))
    found = system.score(dataset.where(split="test")).columns["nll"].mean()
    assert entropy - 0.02 < found < entropy + 0.06


def test_frames_that_cannot_be_halved_are_refused(dataset: Dataset) -> None:
    system = GlowBaseline(replace(QUICK, stack_frames=6), device="cpu")
    with pytest.raises(ConfigError, match="2 levels want .* multiples of 4, got 6 and 12"):
        system.fit(dataset.where(split="train"))
