"""Chains of mechanisms: what each does, what is told of them, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from thrum.errors import ConfigError
from thrum.privacy.mechanisms import parse_chain, release
from thrum.privacy.mechanisms.noise import mu_of
from thrum.privacy.mechanisms.secret import rotation

FRAMES = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float16)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "rotation.key"
    path.write_text("0123456789abcdef" * 2)
    return path


def test_frames_are_what_the_gate_gave_before_there_were_chains() -> None:
    np.testing.assert_array_equal(parse_chain("frames").release(FRAMES), release(FRAMES))


def test_the_mean_and_every_nth() -> None:
    exact = FRAMES.astype(np.float64)

    np.testing.assert_array_equal(
        parse_chain("clip_mean").release(FRAMES),
        exact.mean(axis=0, keepdims=True).astype(np.float16),
    )
    np.testing.assert_array_equal(parse_chain("every:5").release(FRAMES), FRAMES[[0, 5, 10]])
    assert parse_chain(" every:5|clip_mean ").told == "every:5 | clip_mean"


def test_a_rotation_keeps_all_distances_and_is_undone_by_the_secret_alone(secret: Path) -> None:
    chain = parse_chain(f"rotate:{secret}")
    turned = chain.release(FRAMES).astype(np.float64)
    matrix = rotation(secret.read_bytes(), 6)

    np.testing.assert_allclose(matrix @ matrix.T, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(turned @ matrix.T, FRAMES, atol=4e-3)
    assert secret.name not in chain.told
    assert "0123456789abcdef" not in chain.told + repr(chain)


def test_so_many_bits_are_so_many_levels() -> None:
    found = parse_chain("quantise:2").release(FRAMES)

    for before, after in zip(FRAMES, found, strict=True):
        assert len(np.unique(after)) <= 4
        assert after.min() == before.min()
        step = (float(before.max()) - float(before.min())) / 3
        assert np.abs(before.astype(float) - after).max() <= step / 2 + 2e-3


@pytest.mark.parametrize(("unit", "rows"), [("clip", 12), ("frame", 1)])
def test_noise_is_as_large_as_two_clips_can_be_apart(unit: str, rows: int) -> None:
    frames = np.random.default_rng(1).normal(size=(12, 400))
    scaled = frames / np.linalg.norm(frames, axis=1, keepdims=True) * np.sqrt(400)
    chain = parse_chain(f"gaussian:10,1e-5,{unit}")

    noise = chain.release(frames, key=b"site").astype(np.float64) - scaled

    deviation = 2 * np.sqrt(400 * rows) / mu_of(10, 1e-5)
    assert noise.std() == pytest.approx(deviation, rel=0.03)


def test_a_clip_has_the_same_noise_again_and_another_site_another() -> None:
    chain = parse_chain("gaussian:10,1e-5,clip")

    first = chain.release(FRAMES, key=b"north")

    np.testing.assert_array_equal(chain.release(FRAMES, key=b"north"), first)
    assert (chain.release(FRAMES, key=b"south") != first).all()
    other = parse_chain("gaussian:11,1e-5,clip").release(FRAMES, key=b"north")
    assert abs(np.corrcoef(other.ravel(), first.ravel())[0, 1]) < 0.6  # not the same noise, scaled
    with pytest.raises(ConfigError, match="at a site"):
        chain.release(FRAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a chain"),
        ("clip_mean |", "not a chain"),
        ("means", "no mechanism is called 'means'"),
        ("clip_mean:3", "takes nothing after it"),
        ("every:0", "whole number from 1"),
        ("quantise:two", "whole number from 1 to 10"),
        ("gaussian:1", "gaussian:EPSILON,DELTA,UNIT"),
        ("gaussian:0,1e-5,clip", "epsilon is 0"),
        ("gaussian:1,2,clip", "delta is 2"),
        ("gaussian:1,1e-5,machine", "wanted clip or frame"),
        ("gaussian:1,1e-5,clip | gaussian:1,1e-5,clip", "adds noise twice"),
        ("clip_mean | frames", "stands alone, or first"),
        ("rotate:", "file of the secret"),
        ("rotate:/no/such/file", "cannot be read"),
        ("|".join(["every:2"] * 30), "longer than 180"),
    ],
)
def test_what_is_no_chain_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_chain(text)


def test_a_secret_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.key"
    path.write_text("secret")

    with pytest.raises(ConfigError, match="has 6 bytes, wanted 16 or more"):
        parse_chain(f"rotate:{path}")
