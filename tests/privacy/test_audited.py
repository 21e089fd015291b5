"""What a round says of the embeddings that it shares is what an audit found, or that there was none."""

import json

from thrum.privacy.mechanisms.audited import RECORD, given_away


def test_figures_are_those_of_the_record() -> None:
    found = json.loads(RECORD.read_text())["Modulation"]["clip_mean"]

    said = given_away("Modulation", "clip_mean")

    assert f"{100 * found['spectrum']:.0f} % of a clip's mean spectrum" in said
    assert f"AUC {found['presence']:.2f}" in said
    assert found["detail"] < 0.01 < given_away_detail("frames")


def given_away_detail(chain: str) -> float:
    return float(json.loads(RECORD.read_text())["Modulation"][chain]["detail"])


def test_what_nobody_audited_is_said_to_be_so() -> None:
    for embedder, chain in (("Modulation", "every:3"), ("OpenL3", "clip_mean")):
        said = given_away(embedder, chain)
        assert "nobody has audited" in said
        assert "thrum privacy audit" in said
        assert "safe" not in said
