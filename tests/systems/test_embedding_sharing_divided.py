"""Training where no frame leaves a site, and the controls: each against what it must come to by hand."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import machines
from thrum.errors import ConfigError
from thrum.networks.group_norm import with_group_norm
from thrum.networks.mobilefacenet import MobileFaceNet
from thrum.networks.separable import SeparableNet
from thrum.systems.embedding_sharing import (
    Config,
    FramePool,
    IDClassifier,
    network_scores,
    preset_config,
    train_classifier,
)
from thrum.systems.embedding_sharing.batches import Batches, loss_of, set_margin
from thrum.systems.embedding_sharing.classifier import Member, Shape
from thrum.systems.embedding_sharing.fedavg import Averaging, descend
from thrum.systems.embedding_sharing.split import Splitting, client_layer
from thrum.systems.embedding_sharing.traffic import traffic

QUICK = preset_config(
    "compact",
    assignments=[
        "epochs=2", "members=1", "batch_size=32", "training=fedavg", "norm=group", "mixup=false"
    ],
)  # fmt: skip
KEYS = [("Press", f"id_{number:02d}") for number in range(3)]
COUNTS = (9, 4, 6)


def pool() -> FramePool:
    random = np.random.default_rng(0)
    clips = zip(KEYS, COUNTS, strict=True)
    return FramePool(
        {key: machines.frames(random, n, clips=count) for n, (key, count) in enumerate(clips)}
    )


def member_of(config: Config) -> tuple[Member, Shape]:
    torch.manual_seed(0)
    shape = Shape(pool().dimensions, 8, None if config.form == "sequence" else 4)
    member = Member(shape, len(KEYS), config)
    member.frame_whitening.fit_variances(np.concatenate(pool().frames))
    return member, shape


def averaging(config: Config) -> Averaging:
    member, shape = member_of(config)
    return Averaging(member, shape, config, pool(), np.arange(len(pool())))


def splitting(config: Config) -> Splitting:
    member, shape = member_of(config)
    return Splitting(member, shape, config, pool(), np.arange(len(pool())))


def trained(config: Config, **settings: object) -> IDClassifier:
    return train_classifier(pool(), config, stack_frames=8, stack_hop=4, device="cpu", **settings)


def one_round(fitting: Averaging, one: tuple[int, int]) -> None:
    fitting.optimizer.zero_grad()
    fitting.loss(one).backward()
    fitting.optimizer.step()


@pytest.mark.parametrize("form", ["image", "sequence"])
def test_one_step_a_round_is_a_step_down_the_gradient_of_all(form: str) -> None:
    config = replace(QUICK, form=form, local_learning_rate=0.5, schedule="constant")
    fitting = averaging(config)
    start = copy.deepcopy(fitting.member)
    one_round(fitting, (0, 7))

    set_margin(start, config, 0)
    random = np.random.default_rng(7)
    # as the pooled batches count the sites: by the square root of their clips, or by their images
    images = [5 * count for count in COUNTS]  # 8 of 24 frames, every 4
    weights = np.array(images if form == "image" else np.sqrt(COUNTS))
    loss = torch.zeros(())
    for site, share in zip(fitting.sites, weights / weights.sum(), strict=True):
        loss = loss + share * loss_of(start, site.drawn(config.batch_size // 3, random))
    loss.backward()
    for after, before in zip(fitting.member.parameters(), start.parameters(), strict=True):
        wanted = before.detach() - 0.5 * before.grad
        torch.testing.assert_close(after.detach(), wanted, atol=1e-6, rtol=1e-5)


def test_a_round_ends_at_the_mean_of_what_the_sites_trained() -> None:
    config = replace(QUICK, local_steps=3, local_learning_rate=0.3, norm="batch")
    fitting = averaging(config)
    start = copy.deepcopy(fitting.member)
    one_round(fitting, (0, 3))

    random = np.random.default_rng(3)
    states = []
    for site in fitting.sites:
        own = copy.deepcopy(start)
        set_margin(own, config, 0)
        drawn = [site.drawn(config.batch_size // 3, random) for _ in range(3)]
        rate = 0.3 / max(1, fitting.rounds // 10)  # the first step of warming up
        descend(own, drawn, rate=rate, proximal=0.0)
        states.append(own.state_dict())
    shares = np.sqrt(COUNTS) / np.sqrt(COUNTS).sum()
    for name, found in fitting.member.state_dict().items():
        if "num_batches" in name:
            assert found == 3
            continue
        wanted = sum(share * state[name] for share, state in zip(shares, states, strict=True))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4, msg=name)


def test_fedprox_draws_each_step_back_to_the_servers_weights() -> None:
    member, shape = member_of(QUICK)
    site = Batches(member, shape, QUICK, pool(), np.arange(9))
    random = np.random.default_rng(0)
    batches = [site.drawn(8, random) for _ in range(2)]
    start = [p.detach().clone() for p in member.parameters()]
    by_hand = copy.deepcopy(member)
    descend(member, batches, rate=0.1, proximal=2.0)
    for batch in batches:  # w − η (g + μ (w − w₀))
        by_hand.zero_grad()
        loss_of(by_hand, batch).backward()
        with torch.no_grad():
            for own, before in zip(by_hand.parameters(), start, strict=True):
                own -= 0.1 * (own.grad + 2.0 * (own - before))
    for found, wanted in zip(member.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def test_as_many_steps_as_pooled_in_fewer_rounds() -> None:
    epoch = Batches(*member_of(QUICK), QUICK, pool(), np.arange(len(pool()))).steps
    assert epoch == 8  # 256 clips, the fewest an epoch counts, in batches of 32
    for local, rounds in ((1, 16), (3, 6), (16, 1)):
        fitting = averaging(replace(QUICK, local_steps=local))
        numbers = [
            number
            for epoch in range(fitting.epochs)
            for number, _ in fitting.batches(epoch, np.random.default_rng(0))
        ]
        assert numbers == list(range(rounds))


def test_a_site_trains_on_its_own_clips_alone() -> None:
    fitting = averaging(QUICK)
    assert [np.unique(site.labels).tolist() for site in fitting.sites] == [[0], [1], [2]]
    assert [len(site.frames) for site in fitting.sites] == list(COUNTS)
    for label, site in enumerate(fitting.sites):
        _, targets = site.drawn(5, np.random.default_rng(0))
        assert targets.argmax(dim=1).tolist() == [label] * 5


@pytest.mark.parametrize("form", ["image", "sequence"])
def test_a_cut_network_learns_what_a_whole_one_does(form: str) -> None:
    config = replace(QUICK, form=form, training="split")
    fitting = splitting(config)
    whole = copy.deepcopy(fitting.member)
    client_layer(whole.network)._forward_hooks.clear()
    fitting.loss((0.0, 1, 5)).backward()
    batch = fitting.clients[1].drawn(config.batch_size, np.random.default_rng(5))
    set_margin(whole, config, 0)
    loss_of(whole, batch).backward()
    for found, wanted in zip(fitting.member.parameters(), whole.parameters(), strict=True):
        assert torch.equal(found.grad, wanted.grad)
    assert fitting.link.sent_bytes == fitting.link.received_bytes > 0


def test_clients_take_turns() -> None:
    fitting = splitting(replace(QUICK, training="split", local_steps=2))
    random = np.random.default_rng(0)
    clients = [one[1] for epoch in range(2) for one in fitting.batches(epoch, random)]
    assert clients == [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2, 0, 0, 1, 1]


def test_the_clients_layer_is_the_first_that_learns() -> None:
    for network in (MobileFaceNet(8, 20), SeparableNet(20, 8)):
        first = next(iter(network.parameters()))
        assert first is next(iter(client_layer(network).parameters()))
        assert len(list(client_layer(network).modules())) == 4  # convolution, norm, non-linearity


@pytest.mark.parametrize("training", ["fedavg", "split", "shuffled"])
def test_the_seed_decides_all_and_a_killed_training_goes_on(
    training: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(QUICK, training=training, norm="batch", batch_size=96)
    whole = trained(config).message()[0]
    kept = tmp_path / "c.safetensors"

    def killed(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(train_settings(), "checkpoint_seconds", 0.0)
    with pytest.raises(KeyboardInterrupt):
        trained(config, checkpoint=kept, progress=killed)
    assert list(tmp_path.iterdir())
    found = trained(config, checkpoint=kept).message()[0]
    assert all(np.array_equal(found[name], whole[name]) for name in whole)


def train_settings() -> dict[str, object]:
    from thrum.training import train

    assert train.__kwdefaults__ is not None
    return train.__kwdefaults__


@pytest.mark.slow
@pytest.mark.parametrize("training", ["fedavg", "split"])
def test_sites_that_share_no_frame_learn_to_name_machines(training: str) -> None:
    assignments = [f"training={training}", "epochs=30", "learning_rate=0.005"]
    config = replace(
        preset_config("compact", assignments=[*assignments, "members=1", "batch_size=24"]),
        norm="group",
    )
    classifier = trained(config)
    random = np.random.default_rng(5)
    for number, key in enumerate(KEYS):
        new = machines.frames(random, number, clips=5)
        own = [pool().frames[clip] for clip in np.flatnonzero(pool().labels == number)]
        assert network_scores(classifier, key, own, new).accuracy([True] * 5) >= 0.8  # type: ignore[operator]


def test_shuffled_ids_change_the_network_and_nothing_that_is_measured() -> None:
    shuffled, pooled = (trained(replace(QUICK, training=how)) for how in ("shuffled", "pooled"))
    (one,), (other,) = shuffled.members, pooled.members
    for name in ("frame_whitening",):
        states = (getattr(member, name).state_dict() for member in (one, other))
        first, second = states
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(one.loss.anchors, other.loss.anchors)


def test_shuffled_ids_are_the_clips_own_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = Batches.of_epoch

    def watched(self: Batches, epoch: int, random: np.random.Generator) -> object:
        seen.append(self.labels)
        return real(self, epoch, random)

    monkeypatch.setattr(Batches, "of_epoch", watched)
    trained(replace(QUICK, training="shuffled", epochs=1))
    assert sorted(seen[0]) == sorted(pool().labels)
    assert (seen[0] != pool().labels).any()
    trained(replace(QUICK, training="shuffled", epochs=1), seed=1)
    assert (seen[1] != seen[0]).any()


def test_an_untrained_network_is_as_it_was_drawn() -> None:
    config = replace(QUICK, training="untrained", members=2)
    found = trained(config, seed=3)
    torch.manual_seed(3)
    drawn = IDClassifier(KEYS, found.shape, config)
    for one, other in zip(found.members, drawn.members, strict=True):
        assert all(map(torch.equal, one.network.parameters(), other.network.parameters()))
        assert not torch.equal(one.frame_whitening.rest, other.frame_whitening.rest)


@pytest.mark.parametrize("network", [MobileFaceNet(8, 20), SeparableNet(20, 8)])
def test_group_normalisation_lets_no_input_touch_another(network: nn.Module) -> None:
    with_group_norm(network).train()
    inputs = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(inputs)[:1], network(inputs[:1]), atol=1e-5, rtol=1e-4)
    assert not any("running" in name for name in network.state_dict())


def test_what_is_sent_is_what_the_messages_hold() -> None:
    pooled = trained(replace(QUICK, training="pooled", epochs=1))
    clips = [2 * frames.size for frames in pool().frames]
    model = sum(array.nbytes for array in pooled.message()[0].values())
    assert traffic(pool(), pooled).up == pytest.approx(sum(clips) / 3)
    assert traffic(pool(), pooled).down == pytest.approx(model)

    d = pool().dimensions
    moments = 2 * 4 * (d + d * (d + 1) // 2)  # of frames and of clips: a mean and half a matrix
    averaged = trained(replace(QUICK, epochs=1, local_steps=2))
    (member,) = averaged.members
    learnt = 4 * sum(parameter.numel() for parameter in member.parameters())
    assert traffic(pool(), averaged).up == 4 * learnt + moments
    assert traffic(pool(), averaged).down == 4 * learnt + model


def test_what_goes_over_the_cut_is_counted_right() -> None:
    config = replace(QUICK, training="split", epochs=3, local_steps=2)
    fitting = splitting(config)
    random = np.random.default_rng(0)
    for epoch in range(3):
        for step in fitting.batches(epoch, random):
            fitting.loss(step).backward()
    classifier = IDClassifier(KEYS, fitting.clients[0].shape, config)
    layer = sum(4 * p.numel() for p in client_layer(fitting.member.network).parameters())
    d = pool().dimensions
    moments = 2 * 4 * (d + d * (d + 1) // 2)
    turns = 3 * 8 / 2 / 3
    wanted = fitting.link.sent_bytes / 3 + turns * layer + moments
    assert traffic(pool(), classifier).up == pytest.approx(wanted)


def test_a_control_sends_nothing() -> None:
    with pytest.raises(ConfigError, match="'untrained' is a control"):
        traffic(pool(), trained(replace(QUICK, training="untrained")))
