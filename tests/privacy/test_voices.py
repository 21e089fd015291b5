"""Voices of espeak-ng, where it is installed, and what is heard of them beside machines."""

import shutil

import numpy as np
import pytest

from thrum.datasets.synthetic import SyntheticConfig
from thrum.embedders import create_embedder
from thrum.privacy.audit import ATTACKS
from thrum.privacy.audit.asides import asides
from thrum.privacy.audit.material import Material
from thrum.privacy.audit.voices import ESPEAK_VOICES, WORDS, Voice, voices
from thrum.privacy.mechanisms import parse_chain


@pytest.fixture(scope="module")
def spoken() -> list[Voice]:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed: nobody speaks")
    return voices(None)


def test_every_voice_says_every_word_and_those_attacked_are_others(spoken: list[Voice]) -> None:
    assert len(spoken) == len(WORDS) * len(ESPEAK_VOICES)
    attacked = {voice.speaker for voice in spoken if voice.attacked}
    known = {voice.speaker for voice in spoken if not voice.attacked}
    assert not attacked & known
    for own in (attacked, known):  # men and women on both sides
        assert {"f" in speaker.rpartition("+")[2] for speaker in own} == {True, False}
    seconds = [len(voice.audio) / 16000 for voice in spoken]
    assert min(seconds) > 0.15
    assert max(seconds) < 1.5
    stop = [voice.audio for voice in spoken if voice.word == "stop"]
    assert all(len(one) != len(stop[0]) or not np.array_equal(one, stop[0]) for one in stop[1:])


@pytest.mark.slow
def test_somebody_is_heard_beside_machines_through_modulation(spoken: list[Voice]) -> None:
    config = SyntheticConfig(
        kinds=("fan", "pump"), individuals=6, duration_seconds=3.0, naming=2022, seed=0
    )
    mixed = asides(config, create_embedder("modulation"), spoken)["speech"]
    chain = parse_chain("frames")
    auxiliary, target = (
        Material(own.samples, aside={"speech": own}).released(chain, key=b"")
        for own in mixed.divided()
    )

    found = {
        one.quantity: one for one in ATTACKS.load("speech")(seed=0).fit(auxiliary).attack(target)
    }

    assert {sample.truth["word"] for sample in mixed.samples} <= {"", *WORDS}
    assert found["presence"].value is not None
    assert found["presence"].value > 0.75
    assert found["keyword"].machines == 4
