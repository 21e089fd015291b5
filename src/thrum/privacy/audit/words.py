"""What an audit's figures mean, in words for who has to sign."""

from __future__ import annotations

from thrum.federation.messages import Algorithm, Sharing
from thrum.privacy.audit.judging import Finding

TITLES = {
    "reconstruct": ("What did it sound like?", "Spectra are decoded from what was shared."),
    "attributes": ("How is the machine run, and is it well?", "Read off single clips."),
    "rhythm": ("When is the machine on?", "Quarter second by quarter second."),
    "speech": ("Does somebody speak, who, and what?", "Voices of strangers beside the machine."),
    "linkage": ("Is it the same machine, or the same hall?", "A few clips against a few others."),
    "membership": ("Was this clip trained on?", "By who has the classifier."),
    "whitening": ("What does a classifier say of one other site?", "By subtraction, no guesswork."),
    "hidden": ("What does a secret rotation hide?", "The paper's hidden f_c."),
    "statistics": ("What do a machine's statistics give away?", "By who has the clip in question."),
}
"""Each attack as a question, and how it is done."""

QUESTIONS = (
    (
        "Singling out",
        "Can one recording, or one machine, be told from all others in what is shared?",
        ("membership", "statistics", "linkage"),
    ),
    (
        "Linkability",
        "Can two records of one machine, or of one hall, be brought together?",
        ("linkage",),
    ),
    (
        "Inference",
        "Can what was not said be worked out: how it sounded, how it is run, who spoke?",
        ("reconstruct", "attributes", "rhythm", "speech", "whitening", "hidden"),
    ),
)
"""Opinion 05/2014 of the Article 29 Working Party on anonymisation asks these three."""


def told(found: Finding) -> str:
    """Return what a finding comes to, beside chance, in plain words."""
    if found.value is None:
        return f"not measured: {found.reason}"
    hundred, chance = 100 * found.value, 100 * found.chance
    if found.measure == "R²":
        return f"{max(hundred, 0):.0f} % of it; guessing, 0 %"
    if found.measure == "AUC":
        return f"of 100 pairs {hundred:.0f} are told apart; guessing, {chance:.0f}"
    if found.measure == "accuracy":
        return f"{hundred:.0f} of 100; guessing, {chance:.0f}"
    return f"{hundred:.0f} of 100, with one false in a hundred; guessing, {chance:.0f}"


def between(found: Finding) -> str:
    """Return the interval of a finding, of 100 as `told` has it; empty where there is none."""
    if found.low is None or found.high is None:
        return ""
    low, high = (max(100 * one, 0.0) for one in (found.low, found.high))
    return f"{low:.0f} to {high:.0f}"


def who_sees(
    sharing: Sharing, algorithm: Algorithm, *, private: bool = False
) -> list[tuple[str, str, str]]:
    """Return who sees what in a round: who, what reaches them, and what stands between.

    `private` is a round whose networks are trained by DP-SGD.
    """
    if sharing == "statistics":
        up = "Of each machine a count and a matrix: how its clips vary. With 'secure', the sum of all."
        down = (
            "For each of its machines the mean of the others' matrices; of two sites, the other's."
        )
    else:
        up = "Every training clip's embedding in the released form, and which machine it is of."
        down = (
            "The classifier, and with it what it whitens by: the mean over all sites' embeddings."
        )
        if private:
            down = "The classifier, trained by DP-SGD: there is noise on what it tells of any one clip."
        if algorithm == 2:
            up += " Test clips' embeddings, too."
            down = "Its own clips' scores"
            down += "." if private else ", and how the clips of the others vary together."
    return [
        ("The server", up, "Nothing: it is who sites trust with this."),
        ("Another site", down, "It is never sent what another site has sent."),
        (
            "An outsider",
            "Nothing, unless they get into the server or a site; then what these see.",
            "TLS with certificates on both sides; folders that only their owner can open.",
        ),
    ]
