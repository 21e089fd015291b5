"""What the server sends down at the end of a round; each tells which sites keep what they were sent."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch

from thrum.federation.members import Member
from thrum.federation.messages import MachineKey, Message, parse
from thrum.federation.pieces import Clips
from thrum.federation.pooling import Pools
from thrum.federation.protocol import SiteHandle
from thrum.federation.result_messages import Acknowledgement
from thrum.federation.roll import Roll
from thrum.federation.secure import Sum
from thrum.federation.statistics import pools_message
from thrum.systems.embedding_sharing import IDClassifier, network_scores

_DRAWN = random.SystemRandom()


class HandingOut:
    """Sends the sites of a round what it has brought.

    Parameters
    ----------
    roll
        Who takes part.
    sites, members
        How each is asked, and as what it was let in.
    """

    def __init__(
        self, roll: Roll, sites: Mapping[str, SiteHandle], members: Mapping[str, Member]
    ) -> None:
        self.roll = roll
        self.sites = sites
        self.members = members

    def pools(self, pools: Pools) -> dict[str, bool]:
        """Send each site the pools for its machines."""

        def send(name: str) -> bool:
            machines = self.members[name].machines
            own = {key: pools.of[key] for key in machines if key in pools.of}
            return not own or self._kept(name, self.sites[name].accept_pools(pools_message(own)))

        return self.roll.ask(send, "sending the pools")

    def total(self, total: Sum) -> dict[str, bool]:
        """Send every site the sum of all."""
        message = total.message()
        return self.roll.ask(
            lambda name: self._kept(name, self.sites[name].accept_total(message)),
            "sending the sum",
        )

    def classifiers(
        self,
        classifiers: Mapping[str, IDClassifier],
        groups: Mapping[str, Sequence[MachineKey]],
    ) -> dict[str, bool]:
        """Send each site the classifier of its groups; the machines of others are not named, nor in order."""

        def send(name: str) -> bool:
            machines, kept = self.members[name].machines, True
            for group, classifier in classifiers.items():
                if any(key in groups[group] for key in machines):
                    order = _DRAWN.sample(range(len(classifier.keys)), len(classifier.keys))
                    state, description = classifier.for_site(machines.keys(), order)
                    told = {**description, "group": group}
                    kept &= self._kept(name, self.sites[name].accept_classifier(state, told))
            return kept

        return self.roll.ask(send, "sending the classifier")

    def scores(
        self,
        classifiers: Mapping[str, IDClassifier],
        groups: Mapping[str, Sequence[MachineKey]],
        train: Mapping[MachineKey, Clips],
        test: Mapping[MachineKey, Clips],
        *,
        device: torch.device,
    ) -> dict[str, bool]:
        """Score the clips (T, D) of each machine, one site after the other, and send each its scores."""
        group_of = {key: group for group, keys in groups.items() for key in keys}

        def send(name: str) -> bool:
            kept = True
            for key in self.members[name].machines:
                if key not in group_of:
                    continue
                classifier = classifiers[group_of[key]].to(device)
                scores = network_scores(classifier, key, train[key], test.get(key, []))
                message = {"key": list(key), **scores.message()}
                kept &= self._kept(name, self.sites[name].accept_scores(message))
            return kept

        return self.roll.ask(send, "scoring at the server", at_once=1)

    def _kept(self, name: str, answer: Message) -> bool:
        what = f"the acknowledgement of site {name!r}"
        return parse(Acknowledgement, answer, what=what).accepted
