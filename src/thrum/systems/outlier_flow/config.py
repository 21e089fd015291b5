"""What can be set in outlier exposure with a flow; the defaults are the paper's where it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thrum.config import require_at_least, require_positive
from thrum.errors import ConfigError
from thrum.systems.outlier_flow.variants import members_of

InlierData = Literal["source", "pseudo-target", "both"]
Covariance = Literal["diagonal", "full"]

PAPER_WIDTH = 64
WITH_SILENCE = ("ToyCar", "ToyTrain", "ToyDrone", "ToyNscale", "ToyTank", "Vacuum")


@dataclass(frozen=True)
class Config:
    """Settings of the feature extractor, the flow, the inlier models and what is made of their scores.

    Sections are of the paper (Fujimura et al., 2023); "ours" marks what it leaves open.

    Parameters
    ----------
    variant
        A row of table 1 (``OE``, ``OE-Flow``, ``OE-DFlow``, ``SerialOE-Flow``, ``SerialOE-DFlow``) or an
        ensemble of rows (``submission-1`` to ``submission-4``). The default is the best row of table 4.
    mel_bands, low_hz, high_hz, window_seconds, hop_seconds, segment_seconds
        Of the mel spectrogram (section 4.2). Rows of ``.npz`` files are taken as they are.
    width
        Channels of ResNet-18's first stage; 64 is ResNet-18. With 16 a step costs a small part of it.
    machine_head
        g_machine: ``linear`` (section 4.2), or the affine function of the embedding's ``norm`` of the earlier
        Serial-OE (section 2).
    spectrum
        ``log``, mel levels in dB, or ``magnitude``, mel-weighted amplitudes, as the authors' earlier
        Serial-OE has it. The paper says "mel spectrogram"; a linear one is little more than its few loudest
        bands. Ours.
    flow_steps, flow_hidden_ratio, flow_kernels, flow_normalised, flow_affine
        Of FastFlow; its known implementations' for ResNet-18, see there.
    section_weight, flow_weight
        λ_section, which the attributes' loss bears too, and λ_Flow (section 4.2).
    separation
        k is this over the smallest distance of two conditions (section 4.2).
    invariant_channels
        How many of 512 channels are tied to the condition (section 4.2); at another width the same part
        of them, one at least.
    oe_epochs, oe_learning_rate
        Of the variant without a flow: AdamW's rate rises to this one and falls in one cycle (section 4.2).
    epochs, learning_rate
        Of the others: a fixed rate (section 4.2). An epoch goes over the target's clips once, or several
        times until there were `least_steps`.
    least_steps
        Batches of an epoch, at least: a machine with a dozen clips would get one. The default is what the
        paper's batches of 64 make of the 1,000 clips that every machine of its data has.
    weight_decay
        Of AdamW. The paper does not say; PyTorch's. The authors' earlier Serial-OE takes 0.
    renewed_means
        Take the running means of batch norms anew after training, from unmixed clips. Those of a short
        training lag behind, and a machine's own clips are then taken for foreign. Ours.
    batch_size
        Half of it of the target machine, half pseudo-anomalous (section 4.2).
    mixup_share, mixup_alpha
        Which part of a training batch is mixed, and α of the Beta distribution that the mixing weights are
        drawn from. The paper says that it mixes and no more: ours, so that the network also sees clips as
        they are scored, and the weights of Zhang et al. (2018). A share of 0 leaves mixup out.
    mixup
        ``clips`` draws for each clip whether it is mixed. ``batches`` mixes all of a batch or none, as the
        earlier Serial-OE does: hardly any at first, then more and more, and in the second half of the
        training `mixup_share` of them (1 is Serial-OE's).
    mixup_of
        What is mixed: ``levels``, or ``power``, which is what mixing waveforms gives on average over their
        phases. The earlier Serial-OE mixes waveforms.
    inlier_sizes
        Components of the GMMs, neighbours of the k-NNs (section 4.2).
    covariance
        Of the GMMs: ``diagonal``, ours, or ``full``, the earlier Serial-OE's.
    hold_out
        The part of each machine's clips that the networks are not trained on, to end with the weights of the
        epoch whose loss on these was lowest; 0 trains on all and ends with the last. The earlier Serial-OE
        holds a tenth out. Inlier models are fitted to all.
    backbone
        A file of ImageNet's weights of ResNet-18 to begin with, under torchvision's names
        (``.safetensors`` or ``.pth``); the colours' kernels are summed. The earlier Serial-OE begins with
        such weights, of another network. Empty begins at random.
    inlier_data
        What inlier models are fitted to: clips of the source domain, of the pseudo-target domain, or the
        originals of both (section 4.2).
    weighted_machines
        Machine types whose segments count by their power above 4 kHz, since their clips begin and end
        in silence: section 4.2's.
    targets
        The machine types to learn and to score; the clips of others serve as pseudo-anomalous only. Empty
        for all.
    choice
        What enters a variant's score: ``all`` of its inlier models, which looks at no test clip;
        ``machine``, how little a clip is taken for its machine and nothing else, which is ours; or
        ``best_by_test_labels``, the `chosen_members` that rank highest on the labelled clips being scored.
        The last is the paper's way; its figures are not those of a method that has seen no anomaly.
    chosen_members
        How many ``best_by_test_labels`` keeps (section 4.1).
    also_by_test_labels
        Offer that score beside the chosen one, as ``OE/by test labels``, where the clips being scored have
        labels: for comparison with the published figures, of the same networks.
    """

    variant: str = "OE-DFlow"
    mel_bands: int = 224
    low_hz: float = 50.0
    high_hz: float = 7800.0
    window_seconds: float = 0.128
    hop_seconds: float = 0.016
    segment_seconds: float = 5.0
    spectrum: Literal["log", "magnitude"] = "log"
    width: int = 64
    machine_head: Literal["linear", "norm"] = "linear"
    flow_steps: int = 8
    flow_hidden_ratio: float = 1.0
    flow_kernels: tuple[int, ...] = (3,)
    flow_normalised: bool = True
    flow_affine: bool = True
    section_weight: float = 5.0
    flow_weight: float = 1e-7
    separation: float = 5.0
    invariant_channels: int = 8
    oe_epochs: int = 150
    oe_learning_rate: float = 1e-3
    epochs: int = 250
    learning_rate: float = 1e-4
    least_steps: int = 16
    renewed_means: bool = True
    weight_decay: float = 0.01
    batch_size: int = 128
    mixup_share: float = 0.5
    mixup_alpha: float = 0.2
    mixup: Literal["clips", "batches"] = "clips"
    mixup_of: Literal["levels", "power"] = "levels"
    hold_out: float = 0.0
    backbone: str = ""
    inlier_sizes: tuple[int, ...] = (1, 2, 4, 16, 32)
    covariance: Covariance = "diagonal"
    inlier_data: tuple[InlierData, ...] = ("source", "pseudo-target", "both")
    weighted_machines: tuple[str, ...] = WITH_SILENCE
    targets: tuple[str, ...] = ()
    choice: Literal["all", "machine", "best_by_test_labels"] = "all"
    chosen_members: int = 20
    also_by_test_labels: bool = False

    def __post_init__(self) -> None:
        members_of(self.variant)
        require_at_least(
            self,
            mel_bands=1,
            width=1,
            flow_steps=1,
            invariant_channels=1,
            oe_epochs=1,
            epochs=1,
            batch_size=2,
            least_steps=1,
            weight_decay=0,
            chosen_members=1,
        )
        require_positive(
            self,
            "window_seconds",
            "hop_seconds",
            "segment_seconds",
            "mixup_alpha",
            "oe_learning_rate",
            "learning_rate",
        )
        if not 0 <= self.hold_out < 1:
            raise ConfigError(f"hold_out is {self.hold_out}, wanted 0 to below 1")
        if self.backbone and self.width != PAPER_WIDTH:
            raise ConfigError(f"a backbone's weights are of width {PAPER_WIDTH}, got {self.width}")
        if not 0 <= self.mixup_share <= 1:
            raise ConfigError(f"mixup_share is {self.mixup_share}, wanted 0 to 1")
        if not self.inlier_sizes or min(self.inlier_sizes) < 1:
            raise ConfigError(f"inlier_sizes is {self.inlier_sizes}, wanted numbers from 1 on")
        if not self.flow_kernels or any(size < 1 or size % 2 == 0 for size in self.flow_kernels):
            raise ConfigError(f"flow_kernels is {self.flow_kernels}, wanted odd numbers from 1 on")
        if not self.inlier_data:
            raise ConfigError(
                "inlier_data is empty, wanted some of 'source', 'pseudo-target', 'both'"
            )
        if not 0 <= self.low_hz < self.high_hz <= 8000:
            raise ConfigError(
                f"low_hz and high_hz are {self.low_hz} and {self.high_hz}, wanted 0 to 8000, rising"
            )
