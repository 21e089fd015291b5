"""VAE, IDNN and VIDNN: their scores against what is computed by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import distributions

import machines
from thrum.datasets import open_dataset
from thrum.datasets.arrays import read_features
from thrum.errors import ConfigError
from thrum.systems.baselines import idnn, vae
from thrum.systems.baselines.idnn import IDNNBaseline, VIDNNBaseline
from thrum.systems.baselines.trained import TrainedBaseline
from thrum.systems.baselines.vae import VAEBaseline
from thrum.types import Clip, Dataset

QUICK = {"widths": (12,), "bottleneck": 3, "epochs": 2, "batch_size": 64}
BASELINES = {
    VAEBaseline: vae.Config(**QUICK),
    IDNNBaseline: idnn.Config(**QUICK),
    VIDNNBaseline: idnn.VariationalConfig(**QUICK),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(machines.write_arrays(tmp_path_factory.mktemp("arrays")))


def fitted(kind: type[TrainedBaseline], dataset: Dataset) -> TrainedBaseline:
    return kind(BASELINES[kind], device="cpu").fit(dataset.where(split="train"))


def windows_of(clip: Clip) -> torch.Tensor:
    frames = np.float32(np.float16(read_features([clip])[0]))
    return torch.from_numpy(np.stack([frames[at : at + 5] for at in range(len(frames) - 4)]))


@pytest.mark.parametrize("kind", list(BASELINES))
def test_each_machine_id_has_a_network_and_a_threshold(
    kind: type[TrainedBaseline], dataset: Dataset
) -> None:
    system = fitted(kind, dataset)
    assert list(system.fitted_) == ["Press/id_00", "Press/id_01", "Press/id_02"]
    assert set(system.thresholds) == set(dataset.machine_keys)
    normal = system.score(dataset.where(split="train", machine_id="id_01"))
    share = np.mean(normal.columns["mse"] < system.thresholds["Press", "id_01"])
    assert 0.5 <= share <= 1  # of ten clips; the fit of a gamma differs between processors


def test_the_autoencoders_scores_are_those_of_the_mean_latent(dataset: Dataset) -> None:
    system = fitted(VAEBaseline, dataset)
    clip = dataset.where(split="test", machine_id="id_01").clips[0]
    network, x = system.fitted_["Press/id_01"].network, windows_of(clip).flatten(1)
    with torch.inference_mode():
        means, log_variances = network.moments(network.encoder(x)).chunk(2, dim=1)
        out = network.decoder(means)
    own = distributions.Normal(means, (0.5 * log_variances).exp())
    divergence = distributions.kl_divergence(own, distributions.Normal(0.0, 1.0)).sum(1)
    bound = divergence - distributions.Normal(out, 1.0).log_prob(x).sum(1)
    scores = system.score([clip]).columns
    assert scores["mse"][0] == pytest.approx(((out - x) ** 2).mean().item(), rel=1e-5)
    assert scores["negative_elbo"][0] == pytest.approx(bound.mean().item(), rel=1e-5)


@pytest.mark.parametrize("kind", [IDNNBaseline, VIDNNBaseline])
def test_interpolation_is_scored_by_the_middle_frame(
    kind: type[TrainedBaseline], dataset: Dataset
) -> None:
    system = fitted(kind, dataset)
    clip = dataset.where(split="test", machine_id="id_01").clips[0]
    network, windows = system.fitted_["Press/id_01"].network, windows_of(clip)
    inputs = windows[:, [0, 1, 3, 4]].flatten(1)
    with torch.inference_mode():
        guessed = network.layers(inputs) if kind is IDNNBaseline else network.vae(inputs)[0]
    wanted = ((guessed - windows[:, 2]) ** 2).mean().item()
    assert system.score([clip]).columns["mse"][0] == pytest.approx(wanted, rel=1e-5)


def test_the_bound_can_be_what_the_system_acts_on(dataset: Dataset) -> None:
    for kind in (VAEBaseline, VIDNNBaseline):
        config = replace(BASELINES[kind], score="negative_elbo")
        system = kind(config, device="cpu").fit(dataset.where(split="train"))
        assert system.score(dataset.where(split="test")).selected == "negative_elbo"
        other = fitted(kind, dataset)
        assert system.thresholds != other.thresholds
        assert system.fitted_["Press/id_00"].thresholds == other.fitted_["Press/id_00"].thresholds


@pytest.mark.parametrize("config", [idnn.Config, idnn.VariationalConfig])
@pytest.mark.parametrize("frames", [1, 4])
def test_a_window_without_a_middle_is_refused(config: type, frames: int) -> None:
    with pytest.raises(ConfigError, match=f"stack_frames is {frames}, wanted an odd number"):
        config(stack_frames=frames)


@pytest.mark.parametrize("widths", [(), (8, 0)])
def test_widths_are_checked(widths: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="widths are"):
        vae.Config(widths=widths)
