"""Where the public datasets lie: one table of parts, by number of the record and name of the files.

Machines, sizes and MD5s are what a record lists. The MD5s that are known from elsewhere stand here, so
that a record whose files change is noticed; so do the licences of which the authors' words are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

ZENODO = "https://zenodo.org"


class Part(NamedTuple):
    """One part of a dataset: those archives of a record that are called alike, one a machine; or one file.

    Attributes
    ----------
    name
        What ``--parts`` calls it.
    archive
        What the archives are called; a corrected one ends in ``_r2.zip``. Without ``<machine>`` it is a
        file about all machines, and no archive.
    folder
        Where they are unpacked, or the file is put, below the folder of the dataset.
    """

    name: str
    record: int
    archive: str
    folder: str

    def machine(self, file: str) -> tuple[str, int] | None:
        """Return the machine and the revision of `file`, None where it is not of this part."""
        if "<machine>" not in self.archive:
            return ("", 1) if file == self.archive else None
        before, after = re.escape(self.archive.removesuffix(".zip")).split("<machine>")
        match = re.fullmatch(rf"{before}([A-Za-z0-9]+){after}(?:_r(\d+))?\.zip", file)
        return (match[1], int(match[2] or 1)) if match else None


def _year(
    dev: int, add: int, evaluation: int, *, archive: str = "dev_<machine>.zip"
) -> tuple[Part, ...]:
    return (
        Part("dev", dev, archive, "dev_data"),
        Part("add", add, "eval_data_<machine>_train.zip", "eval_data"),
        Part("eval", evaluation, "eval_data_<machine>_test.zip", "eval_data"),
    )


PARTS: Mapping[str, tuple[Part, ...]] = {
    "dcase2020": (
        Part("dev", 3678171, "dev_data_<machine>.zip", "dev_data"),
        Part("add", 3727685, "eval_data_train_<machine>.zip", "eval_data"),
        Part("eval", 3841772, "eval_data_test_<machine>.zip", "eval_data"),
        Part("truth", 3951620, "eval_data_list.csv", "ground_truth"),
    ),
    "dcase2021": _year(4562016, 4660992, 4884786, archive="dev_data_<machine>.zip"),
    "dcase2022": _year(6355122, 6462969, 6586456),
    "dcase2023": _year(7882613, 7830345, 7860847),
    "dcase2024": _year(10902294, 11259435, 11363076),
    "dcase2025": _year(15097779, 15392814, 15519362),
    "dcase2026": _year(19336329, 20151556, 20437238),
    "mimii": tuple(
        Part(f"{snr}_dB", 3384388, f"{snr}_dB_<machine>.zip", f"{snr}_dB_<machine>")
        for snr in (6, 0, -6)
    ),
}
"""The parts of each dataset. Of DCASE: development, additional training, and evaluation data.

The truth of the evaluation data is a file of a record in 2020 only.
"""

LICENCES: Mapping[str, str] = {
    "dcase2020": "CC BY-NC-SA 4.0",
    "dcase2023": "CC BY-NC-SA 4.0",
    "mimii": "CC BY-SA 4.0",
}
"""By the authors' conditions of use, which may be narrower than the field of the record says."""

KNOWN_MD5: Mapping[int, Mapping[str, str]] = {
    3678171: {
        "dev_data_fan.zip": "649bdfc06263ae7a838963f43b6641e6",
        "dev_data_pump.zip": "90e7091ef722b7238a7f1009365779cd",
        "dev_data_slider.zip": "da24a757719f0d94d5aa2d646bbfdc86",
        "dev_data_ToyCar.zip": "4dec75ca8d9f666aa9e4c1894a740501",
        "dev_data_ToyConveyor.zip": "03b6aa1bfd09a39d53af0ba39f71fa91",
        "dev_data_valve.zip": "34d2672f55bb041589ef79c10dc89934",
    },
    3727685: {
        "eval_data_train_fan.zip": "567798854130c8019df8b664c095ed1e",
        "eval_data_train_pump.zip": "4e33ae9c0db5cc88437675f5e317caee",
        "eval_data_train_slider.zip": "f84f186f4295fc23754abcdd1b0580a7",
        "eval_data_train_ToyCar.zip": "a5d4ccd498af70b04dd74b644b820006",
        "eval_data_train_ToyConveyor.zip": "0e808ac0b761e9fb13d5e0c65caff00d",
        "eval_data_train_valve.zip": "057cdd560caffb8305449541afd28c6d",
    },
    3841772: {
        "eval_data_test_fan.zip": "1eb9356a768cadfd0f2e59a5c57e578b",
        "eval_data_test_pump.zip": "23a8f8f924be218c69df67fe07360348",
        "eval_data_test_slider.zip": "0193c769073840332ce3aad84b1ccaa2",
        "eval_data_test_ToyCar.zip": "bea2bdd612f616be8f2b8eb087b32c7c",
        "eval_data_test_ToyConveyor.zip": "ccfcc9847c7d3404d7ee9d6d9e0b2ba2",
        "eval_data_test_valve.zip": "f69c551d2088691050d20cccca9d631c",
    },
    7882613: {
        "dev_bearing.zip": "8a813bc8d8f156b5395bfccdfac7673c",
        "dev_fan.zip": "9348591e96fb0ad499a1e33b082562fc",
        "dev_gearbox.zip": "b6e55f6a31faa0fc8569ec0afdd53ccf",
        "dev_slider.zip": "b3f8dee36b4718c36d659a4fd1c4afe0",
        "dev_ToyCar.zip": "4e3bf15f4101ed4ed4f1fecde2e2b2a3",
        "dev_ToyTrain.zip": "6b02a6c65eebb3b8b1ae59a6b25bb897",
        "dev_valve.zip": "b2051a2022eadb53cd97581120811cae",
    },
    7830345: {
        "eval_data_bandsaw_train.zip": "9274dfe63de028743823f1123f8b4b47",
        "eval_data_grinder_train.zip": "17569c1f9df23621a0dbabc430684a35",
        "eval_data_shaker_train.zip": "35f821b5645b731fb5a1750e33b95fc3",
        "eval_data_ToyDrone_train.zip": "7fea367d1384a1521ae24f72203238de",
        "eval_data_ToyNscale_train.zip": "9332822f3e47afd984c01f2ecb5ca3af",
        "eval_data_ToyTank_train.zip": "b1fd3ab7de7561290df2d477de1c9d33",
        "eval_data_Vacuum_train.zip": "1c8de33d9a8c7850a1f7aaddb97d87be",
    },
    7860847: {
        "eval_data_bandsaw_test.zip": "2a8e8f39f6584ab366a8f4da52d4d7a6",
        "eval_data_grinder_test.zip": "631b3e1608b6077772829a6e68c82c77",
        "eval_data_shaker_test.zip": "ba98c98caa96051ec80e24e44b8fca56",
        "eval_data_ToyDrone_test.zip": "fdae7b8d1f4cadb2bea88bc93e2367db",
        "eval_data_ToyNscale_test.zip": "62f5f5043d8fb3a305b1c2e1025872de",
        "eval_data_ToyTank_test.zip": "f5639bf58c47169c622751f19c6fc321",
        "eval_data_Vacuum_test.zip": "a32524fd8c45b574a560685b38acc4e1",
    },
}
"""By record and file."""
