"""The stacked frames, and the scores of what is left over of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thrum.errors import DataError
from thrum.systems.baselines.residuals import Covariances, clip_scores, precision_of
from thrum.systems.baselines.windows import Windows


def random_residuals(frames: int, bands: int, *, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(bands, bands))
    return random.normal(size=(frames, bands)) @ mixing + random.normal(size=bands)


def test_windows_are_successive_frames_within_a_clip() -> None:
    clips = [np.arange(12, dtype=np.float16).reshape(6, 2), np.full((5, 2), -1, np.float16)]
    windows = Windows(clips, names=["a", "b"], stack=5)
    assert len(windows) == 3
    assert windows.owners.tolist() == [0, 0, 1]
    batch = windows.batch(np.array([1, 0, 2]))
    assert batch.shape == (3, 5, 2)
    assert batch.flatten(1).tolist() == [list(range(2, 12)), list(range(10)), [-1] * 10]


@pytest.mark.parametrize(("hop", "starts"), [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (4, [0, 4])])
def test_windows_begin_every_hop(hop: int, starts: list[int]) -> None:
    clips = [np.arange(8.0)[:, None], np.arange(8.0)[:, None] + 100]
    windows = Windows(clips, names=["a", "b"], stack=4, hop=hop)
    firsts = windows.batch(np.arange(len(windows)))[:, 0, 0].tolist()
    assert firsts == [*starts, *(start + 100 for start in starts)]
    assert windows.owners.tolist() == [0] * len(starts) + [1] * len(starts)


def test_a_clip_that_is_too_short_is_repeated_to_fill_a_window() -> None:
    short = np.arange(4.0)[:, None] * np.ones((1, 2))
    windows = Windows([np.zeros((5, 2)), short], names=["a.wav", "short.wav"], stack=5)
    (window,) = windows.batch(np.array([1]))
    assert window[:, 0].tolist() == [0, 1, 2, 3, 0]


def test_frames_of_another_kind_are_named() -> None:
    with pytest.raises(DataError, match="b has frames of 3 values, a of 2"):
        Windows([np.zeros((5, 2)), np.zeros((5, 3))], names=["a", "b"], stack=5)


def test_scores_are_those_of_the_formulas() -> None:
    residuals = random_residuals(40, 6, seed=0)
    covariances = [np.cov(random_residuals(200, 6, seed=seed).T) for seed in (1, 2)]
    precisions = np.stack([np.linalg.inv(covariance) for covariance in covariances])
    mse, of_mean, per_frame = clip_scores(residuals, precisions)
    assert mse == pytest.approx(np.mean(residuals**2))
    # The organisers average the products of every frame with every other, once for each domain.
    products = [np.mean(residuals @ precision @ residuals.T) for precision in precisions]
    assert of_mean == pytest.approx(min(products))
    nearest = [min(frame @ each @ frame for each in precisions) for frame in residuals]
    assert per_frame == pytest.approx(np.mean(nearest))


def test_the_nearer_domain_counts() -> None:
    residuals = random_residuals(30, 4, seed=0)
    near, far = np.eye(4), 3 * np.eye(4)
    for precisions in ([near, far], [far, near]):
        np.testing.assert_allclose(
            clip_scores(residuals, np.stack(precisions)), clip_scores(residuals, near[None])
        )


def test_covariances_are_those_of_all_frames_of_a_domain() -> None:
    clips = [random_residuals(frames, 5, seed=frames) for frames in (20, 30, 40)]
    covariances = Covariances()
    for clip, is_target in zip(clips, (False, True, False), strict=True):
        covariances.add(clip, is_target=is_target)
    source, target = covariances.found()
    np.testing.assert_allclose(source, np.cov(np.concatenate([clips[0], clips[2]]).T))
    np.testing.assert_allclose(target, np.cov(clips[1].T))


def test_without_domains_there_is_one_covariance() -> None:
    covariances = Covariances()
    covariances.add(random_residuals(20, 5, seed=0), is_target=False)
    assert len(covariances.found()) == 1


def test_a_precision_is_an_inverse_even_of_a_band_that_never_changes() -> None:
    covariance = np.cov(random_residuals(100, 4, seed=0).T)
    np.testing.assert_allclose(precision_of(covariance) @ covariance, np.eye(4), atol=1e-3)
    covariance[0] = covariance[:, 0] = 0.0
    still = precision_of(covariance)
    assert np.isfinite(still).all()
    assert np.linalg.eigvalsh(still).min() > 0


def test_windows_of_more_frames_than_fit_into_memory_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from thrum.systems.baselines import windows as module

    random = np.random.default_rng(0)
    clips = [random.normal(size=(length, 4)).astype(np.float16) for length in (9, 3, 30)]
    names = ["a", "b", "c"]
    kept = module.Windows(clips, names=names, stack=5, hop=2)
    monkeypatch.setattr(module, "LARGEST_BYTES", 0)
    read = module.Windows(clips, names=names, stack=5, hop=2)
    rows = random.permutation(len(kept))
    assert len(read) == len(kept) == 3 + 1 + 13
    torch.testing.assert_close(read.batch(rows), kept.batch(rows), rtol=0, atol=0)
    np.testing.assert_array_equal(kept.batch(np.array([3]))[0, 3:], clips[1][:2])  # b goes on anew
