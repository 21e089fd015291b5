"""A new run never mixes with an old one unasked."""

import os
from pathlib import Path

import pytest

from thrum.cli.options import check_out
from thrum.errors import ConfigError


def test_a_folder_in_use_is_refused_unless_resumed(tmp_path: Path) -> None:
    check_out(tmp_path / "absent", resume=False)
    check_out(tmp_path, resume=False)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ConfigError, match="--resume"):
        check_out(tmp_path, resume=False)
    check_out(tmp_path, resume=True)


def test_a_name_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(ConfigError, match="Ger.*t' cannot be written as text"):
        check_out(Path(os.fsdecode(b"Ger\xe4t")), resume=False)


def test_a_file_is_no_folder_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    for resume in (False, True):
        with pytest.raises(ConfigError, match="run is a file, wanted a folder"):
            check_out(tmp_path / "run", resume=resume)
