"""Networks trained by DP-SGD: clipped and noisy as promised, counted as opacus counts."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from thrum.cli.collaborate import run_simulation
from thrum.datasets import open_dataset
from thrum.errors import ConfigError, UsageError
from thrum.federation.training_costs import TrainingCosts
from thrum.systems.embedding_sharing import Config, FramePool, preset_config, train_classifier
from thrum.systems.embedding_sharing import private as module
from thrum.systems.embedding_sharing.classifier import IDClassifier, Shape
from thrum.systems.embedding_sharing.private import Cost, Private, cost_of, epsilon_of

pytest.importorskip("opacus")


def pool(machines: int = 4, clips: int = 20) -> FramePool:
    random = np.random.default_rng(0)
    own = 2 * random.normal(size=(machines, 1, 1, 16))
    frames = (own + random.normal(size=(machines, clips, 8, 16))).astype(np.float16)
    return FramePool(
        {("fan", f"id_{number:02d}"): list(frames[number]) for number in range(machines)}
    )


def private(*settings: str) -> Config:
    return preset_config("compact", assignments=("members=1", "batch_size=32", *settings))


def begun(config: Config, cost: Cost) -> Private:
    material = pool()
    shape = Shape(16, 5, None)
    torch.manual_seed(0)
    classifier = IDClassifier(material.keys, shape, config)
    clips = np.arange(len(material))
    return Private(classifier.members[0], shape, config, material, clips, cost=cost)


def accuracy(classifier: IDClassifier, material: FramePool) -> float:
    (member,) = classifier.members
    named = classifier.cosines(member, classifier.embed(member, material.frames)).argmax(axis=1)
    return float(np.mean(named == material.labels))


@pytest.mark.parametrize("epsilon", [1.0, 10.0])
def test_the_noise_costs_what_opacus_says_it_does(epsilon: float) -> None:
    from opacus.accountants import RDPAccountant

    cost = cost_of(private(f"dp_epsilon={epsilon}", "epochs=10"), pool())

    accountant = RDPAccountant()
    for _ in range(cost.steps):  # one network: 80 clips, 32 at once, ten epochs
        accountant.step(noise_multiplier=cost.noise_multiplier, sample_rate=cost.sample_rate)
    assert (cost.sample_rate, cost.steps) == (0.4, 20)
    assert accountant.get_epsilon(delta=1e-5) == pytest.approx(epsilon, rel=2e-3)


def test_the_noise_agrees_with_dp_accounting() -> None:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
    from dp_accounting.rdp import RdpAccountant

    cost = cost_of(private("dp_epsilon=3", "members=4", "epochs=10"), pool())

    assert cost.steps == 3 * 20  # of four networks, three see a clip
    event = PoissonSampledDpEvent(cost.sample_rate, GaussianDpEvent(cost.noise_multiplier))
    theirs = RdpAccountant().compose(SelfComposedDpEvent(event, cost.steps)).get_epsilon(1e-5)
    assert theirs == pytest.approx(3.0, rel=1e-2)


def test_each_clips_gradient_is_cut_and_the_noise_is_as_large_as_asked() -> None:
    config = private("dp_epsilon=10", "clip_norm=0.5")
    fitting = begun(config, Cost(0.0, 0.4, 1))
    batch = next(fitting.batches(3, np.random.default_rng(0)))
    member = fitting.member
    fitting.loss(batch)
    fitting.optimizer.clip_and_accumulate()  # type: ignore[attr-defined]

    parameters = [*member.network.parameters(), *member.loss.parameters()]
    expected = [torch.zeros_like(one) for one in parameters]
    for x, target in zip(*batch, strict=True):  # one clip at a time, by autograd
        loss = member.loss(member.network(x[None]), target[None])
        gradients = torch.autograd.grad(loss, parameters)
        length = float(torch.cat([one.flatten() for one in gradients]).norm())
        assert length > 0.5
        for total, own in zip(expected, gradients, strict=True):
            total += own * 0.5 / length
    for parameter, total in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.summed_grad, total, rtol=1e-3, atol=1e-5)

    noisy = begun(config, Cost(3.0, 0.4, 1))
    noisy.loss(batch)
    noisy.optimizer.clip_and_accumulate()  # type: ignore[attr-defined]
    before = torch.cat([one.summed_grad.flatten() for one in noisy.optimizer.params])  # type: ignore[attr-defined]
    noisy.optimizer.add_noise()  # type: ignore[attr-defined]
    after = torch.cat([one.grad.flatten() for one in noisy.optimizer.params])  # type: ignore[attr-defined]
    assert float((after - before).std()) == pytest.approx(3.0 * 0.5, rel=0.02)


def test_without_noise_a_step_is_the_plain_one() -> None:
    fitting = begun(private("dp_epsilon=10", "clip_norm=1e6"), Cost(0.0, 0.4, 1))
    batch = next(fitting.batches(0, np.random.default_rng(0)))
    member = fitting.member
    value = fitting.loss(batch)
    fitting.optimizer.pre_step()  # type: ignore[attr-defined]

    parameters = [*member.network.parameters(), *member.loss.parameters()]
    loss = member.loss(member.network(batch[0]), batch[1])
    assert float(value.detach()) == pytest.approx(float(loss.detach()), rel=1e-4)
    expected = torch.autograd.grad(loss, parameters)
    share = len(batch[0]) / (0.4 * 80)  # divided by how many clips there are on average
    for parameter, own in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, own * share, rtol=1e-3, atol=1e-5)


def test_a_step_that_draws_no_clip_is_noise_alone() -> None:
    fitting = begun(private("dp_epsilon=10"), Cost(1.0, 1e-12, 1))
    batch = next(fitting.batches(0, np.random.default_rng(0)))
    assert len(batch[0]) == 0

    assert float(fitting.loss(batch).detach()) == 0.0
    fitting.optimizer.clip_and_accumulate()  # type: ignore[attr-defined]

    assert all(not one.summed_grad.any() for one in fitting.optimizer.params)  # type: ignore[attr-defined]


def test_so_little_noise_that_it_hides_nothing_learns_like_the_plain_training(
    tmp_path: Path,
) -> None:
    material = pool()
    plain = private("epochs=8", "norm=group", "mixup=false", "standardise=false")
    reached = []
    for config in (
        plain,
        private("epochs=8", "dp_epsilon=1e5"),
        private("epochs=8", "dp_epsilon=1"),
    ):
        trained = train_classifier(
            material, config, stack_frames=1, stack_hop=1, checkpoint=tmp_path / "at.safetensors"
        )
        reached.append(accuracy(trained, material))
    assert reached[0] > 0.95
    assert reached[1] > 0.9
    assert reached[2] < 0.7


def test_what_mixes_clips_is_refused() -> None:
    for wrong, told in (
        ("mixup=true", "mixup"),
        ("norm=batch", "norm"),
        ("standardise=true", "standardise"),
        ("dp_epsilon=0", "epsilon is 0"),
        ("dp_delta=1", "delta is 1"),
        ("clip_norm=0", "clip_norm"),
        ("form=image", "--preset compact"),
    ):
        with pytest.raises(ConfigError, match=told):
            private("dp_epsilon=1", wrong)


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(UsageError, match=r"pip install 'thrum\[dp\]'"):
        train_classifier(pool(), private("dp_epsilon=1"), stack_frames=1, stack_hop=1)
    module.require_opacus(private())


def test_a_round_says_what_to_install_before_it_embeds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "opacus" else found(name, *more),
    )
    np.savez(tmp_path / "fan_id_00.npz", train_normal=np.ones((3, 4, 6), np.float16))

    with pytest.raises(UsageError, match=r"pip install 'thrum\[dp\]'"):
        run_simulation(
            open_dataset(tmp_path),
            out=tmp_path / "out",
            sharing="embeddings",
            settings=["dp_epsilon=5"],
        )
    assert not (tmp_path / "out").exists()


def test_rounds_cost_together_what_they_cost(tmp_path: Path) -> None:
    costs = TrainingCosts(tmp_path / "budget.json")
    config = private("dp_epsilon=2", "epochs=5")
    cost = cost_of(config, pool())

    first = costs.spend([("fan", "id_00")], cost, config)
    second = TrainingCosts(tmp_path / "budget.json").spend(
        [("fan", "id_00"), ("fan", "id_01")], cost, config
    )

    both = epsilon_of([cost, cost], 1e-5)
    assert "epsilon 2 at" in first.replace(f"{epsilon_of([cost], 1e-5):.4g}", "2")
    assert "rounds so far" not in first
    assert second.endswith(f"with the 2 rounds so far, epsilon {both:.4g}")
    assert 2 < both < 4
