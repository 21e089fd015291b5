"""Server and all sites in one process, through the very objects that the deployed form runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thrum import config as configs
from thrum import storage
from thrum.embedders.base import Embedder
from thrum.embedders.store import EmbeddingStore
from thrum.errors import ConfigError
from thrum.evaluation.table import Result, results_of, write_results, write_scores
from thrum.federation.messages import Algorithm, MachineKey
from thrum.federation.server import Server
from thrum.federation.site import Site, SiteScores
from thrum.privacy.mechanisms import release
from thrum.systems.embedding_sharing import (
    Config,
    FramePool,
    IDClassifier,
    groups_of,
    score_machine,
    train_classifier,
)
from thrum.training import device_of
from thrum.types import Dataset, Progress, group_by_machine, names_of

METHODS = ("local_logmel", "local", "local_whitened", "collaborative", "fused", "centralised")


@dataclass(frozen=True)
class Simulation:
    """What a simulated collaboration came to.

    Parameters
    ----------
    sites
        All participants.
    scores
        What each site knows of its machines, and the centralised scores beside it.
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
    device: str = "auto",
    per_machine_type: bool = False,
    centralised: bool = True,
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
        "per_machine_type": per_machine_type,
        "config": configs.to_mapping(config),
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
        progress=progress,
    )
    outcome = server.collaborate({site.name: site for site in sites}, algorithm=algorithm)
    scores = [own for site in sites for own in site.score()]
    if centralised and outcome.classifiers:
        scores = _with_centralised(
            sites,
            scores,
            config,
            seed=seed,
            device=device,
            per_machine_type=per_machine_type,
            folder=folder,
            progress=progress,
        )
    results = [row for own in scores for row in site_results(own, seed)]
    for own in scores:
        write_scores(folder / "scores", own.test)
    write_results(folder / "results.csv", results)
    accuracies = [own.id_accuracy for own in scores if own.id_accuracy is not None]
    accuracy = sum(accuracies) / len(accuracies) if accuracies else None
    notes = [*notes_of(outcome.alone, invertible=embedder.invertible), *outcome.notes]
    notes += [f"site {site.name!r} refused: {text}" for site in sites for text in site.refused]
    return Simulation(sites, scores, results, accuracy, notes, outcome.classifiers, settings)


def notes_of(alone: Sequence[MachineKey], *, invertible: bool) -> list[str]:
    """Return what a reader of a round's results must know."""
    notes = [
        f"{'/'.join(key)} is alone: there is no other machine ID to be told apart from, so it has local "
        f"scores only; more sites have to join"
        for key in alone
    ]
    if invertible:
        notes.append(
            "the embeddings shared here are log-mel spectra, which can be turned back into sound: "
            "choose an embedder with pretrained weights before recordings are confidential"
        )
    return notes


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


def _with_centralised(
    sites: Sequence[Site],
    scores: Sequence[SiteScores],
    config: Config,
    *,
    seed: int,
    device: str,
    per_machine_type: bool,
    folder: Path,
    progress: Progress | None,
) -> list[SiteScores]:
    """Add the upper bound: the same classifier, trained on all embeddings pooled in one place."""
    owner = {key: site for site in sites for key in site.machines}

    def frames(key: MachineKey, split: str) -> list[Any]:
        clips = [clip for clip in owner[key].machines[key] if clip.split == split]
        return [release(own) for own in owner[key].frames(clips)]

    groups, _ = groups_of(owner, per_machine_type=per_machine_type)
    classifier_of: dict[MachineKey, IDClassifier] = {}
    for group, keys in groups.items():
        classifier = train_classifier(
            FramePool({key: frames(key, "train") for key in keys}),
            config,
            stack_frames=sites[0].embedder.stack_frames,
            stack_hop=sites[0].embedder.stack_hop,
            seed=seed,
            device=device,
            checkpoint=folder / "centralised" / f"{group}.safetensors",
            progress=progress,
            stage="training the centralised bound",
        )
        classifier_of.update(dict.fromkeys(keys, classifier))
    complete = []
    for own in scores:
        if own.key in classifier_of:
            train, test = frames(own.key, "train"), frames(own.key, "test")
            classifier = classifier_of[own.key].to(device_of(device))
            pooled = score_machine(classifier, own.key, train, test)
            own = replace(own, scores={**own.scores, "centralised": pooled.collaborative})
        complete.append(own)
    return complete


def site_results(own: SiteScores, seed: int) -> list[Result]:
    """Return a result for each method, also for a machine that has no test clips."""
    methods = [method for method in METHODS if method in own.scores]
    if own.clips:
        return results_of(own.test, seed=seed, method_names={method: method for method in methods})
    return [Result(*own.key, method, None, None, 0, 0, seed) for method in methods]
