"""Server and all sites in one process, through the very objects that the deployed form runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thrum import config as configs
from thrum import storage
from thrum.embedders.base import Embedder
from thrum.embedders.store import EmbeddingStore
from thrum.errors import ConfigError
from thrum.evaluation.table import Result, results_of, write_results, write_scores
from thrum.federation.messages import Algorithm, MachineKey, Sharing
from thrum.federation.releasing import Releases
from thrum.federation.server import WHITENING_FROM, Server
from thrum.federation.site import Site
from thrum.federation.site_scores import SiteScores
from thrum.privacy.mechanisms import told_release
from thrum.privacy.mechanisms.audited import given_away
from thrum.systems.embedding_sharing import (
    Config,
    IDClassifier,
)
from thrum.types import Dataset, Progress, group_by_machine, names_of


@dataclass(frozen=True)
class Simulation:
    """What a simulated collaboration came to.

    Parameters
    ----------
    sites
        All participants.
    scores
        What each site knows of its machines.
    results
        AUC and partial AUC, one row for each machine ID and method.
    id_accuracy
        The mean over machine IDs of the share of normal clips whose ID is named rightly; None where no
        classifier was trained.
    notes
        What a reader of the results must know.
    classifiers
        The server's classifier of each group of machines that learnt together.
    settings
        What was run.
    """

    sites: Sequence[Site]
    scores: Sequence[SiteScores]
    results: Sequence[Result]
    id_accuracy: float | None
    notes: Sequence[str]
    classifiers: Mapping[str, IDClassifier]
    settings: Mapping[str, Any]


def simulate(
    dataset: Dataset,
    *,
    embedder: Embedder,
    config: Config,
    folder: Path,
    seed: int = 0,
    algorithm: Algorithm = 1,
    sharing: Sharing = "statistics",
    device: str = "auto",
    per_machine_type: bool = False,
    releases: Releases | None = None,
    whitening_from: int = WHITENING_FROM,
    embeddings: EmbeddingStore | None = None,
    progress: Progress | None = None,
) -> Simulation:
    """Let every machine ID of `dataset` be a site of its own, and let them learn together.

    Everything is kept under `folder`: ``sites/<name>`` is what each site has, ``server`` what the server
    has, ``scores`` and ``results.csv`` the outcome. A killed simulation goes on where it was when it is
    called again with the same arguments. With `embeddings`, a store of what the embedder made of the clips
    already, the sites embed nothing.

    Raises
    ------
    ConfigError
        Where `folder` holds a simulation of other settings.
    DatasetError
        Where two machines would have one name on disk.
    """
    settings = {
        "data": str(dataset.root.resolve()),
        "dataset": dataset.name,
        "embedder": embedder.settings,
        "seed": seed,
        "algorithm": algorithm,
        "sharing": sharing,
        "per_machine_type": per_machine_type,
        "config": configs.to_mapping(config),
        "release": _release_of(releases, sharing),
        "whitening_from": whitening_from,
    }
    groups = group_by_machine(dataset)
    names = names_of(groups)
    _claim(folder, settings)
    sites = []
    for number, (key, clips) in enumerate(groups.items(), start=1):
        name = names[key]
        site = Site(
            name,
            clips,
            embedder,
            folder / "sites" / name,
            device=device,
            algorithm=algorithm,
            sharing=sharing,
            releases=releases,
            embeddings=embeddings,
        )
        site.prepare()
        site.brought.forget()
        sites.append(site)
        if progress is not None:
            progress("embedding at the sites", number, len(groups))
    server = Server(
        folder / "server",
        config=config,
        seed=seed,
        device=device,
        per_machine_type=per_machine_type,
        registry={site.name: list(site.machines) for site in sites},
        whitening_from=whitening_from,
        progress=progress,
    )
    outcome = server.collaborate(
        {site.name: site for site in sites}, algorithm=algorithm, sharing=sharing
    )
    for site in sites:
        site.sign()
    scores = [own for site in sites for own in site.score()]
    results = [row for own in scores for row in site_results(own, seed)]
    for own in scores:
        write_scores(folder / "scores", own.test)
    write_results(folder / "results.csv", results)
    accuracies = [own.id_accuracy for own in scores if own.id_accuracy is not None]
    accuracy = sum(accuracies) / len(accuracies) if accuracies else None
    notes = [
        *notes_of(
            outcome.alone,
            sharing=sharing,
            embedder=type(embedder).__qualname__,
            chain=str(settings["release"]),
        ),
        *outcome.notes,
    ]
    notes += [f"site {site.name!r} refused: {text}" for site in sites for text in site.refused]
    return Simulation(sites, scores, results, accuracy, notes, outcome.classifiers, settings)


def notes_of(
    alone: Sequence[MachineKey], *, sharing: Sharing, embedder: str, chain: str
) -> list[str]:
    """Return what a reader of a round's results must know.

    Parameters
    ----------
    embedder, chain
        The class, and the mechanisms, of embeddings that were shared.
    """
    notes = [
        f"{'/'.join(key)} is alone: there is no other machine to learn from, so it has local scores only; "
        f"more sites have to join"
        for key in alone
    ]
    return notes + ([given_away(embedder, chain)] if sharing == "embeddings" else [])


def _release_of(releases: Releases | None, sharing: Sharing) -> str:
    """Return the chain of mechanisms that a round is about, as all may know it."""
    own = releases or Releases()
    return told_release(own.embeddings if sharing == "embeddings" else own.statistics, sharing)


def _claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings into an empty folder, or check that the folder's are the same."""
    path = folder / "run.json"
    if not path.exists():
        storage.write_json(path, settings)
        return
    earlier = storage.read_json(path)
    changed = sorted(key for key in settings if earlier.get(key) != settings[key])
    if changed:
        raise ConfigError(
            f"{folder} holds a run of other settings ({', '.join(changed)}): "
            f"choose another --out, or remove the folder"
        )


def site_results(own: SiteScores, seed: int) -> list[Result]:
    """Return a result for each method, also for a machine that has no test clips."""
    methods = list(own.scores)
    if own.clips:
        return results_of(own.test, seed=seed, method_names={method: method for method in methods})
    return [Result(*own.key, method, None, None, 0, 0, seed) for method in methods]
