from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from thrum import config
from thrum.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    rate: float = 1.0


@dataclass(frozen=True)
class Settings:
    epochs: int = 20
    name: str = "a"
    kind: Literal["one", "two"] = "one"
    sizes: tuple[int, ...] = (1, 2)
    limit: int | None = None
    flag: bool = False
    inner: Inner = field(default_factory=Inner)


def test_a_file_holds_only_what_differs(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("epochs = 3\nsizes = [4]\n[inner]\nrate = 2\n")
    assert config.load(Settings, file) == Settings(epochs=3, sizes=(4,), inner=Inner(2.0))


def test_toml_round_trip(tmp_path: Path) -> None:
    settings = Settings(epochs=7, limit=3, flag=True, inner=Inner(0.5))
    file = tmp_path / "settings.toml"
    file.write_text(config.to_toml(settings))
    assert config.load(Settings, file) == settings


def test_assignments_need_no_quotes() -> None:
    changed = config.with_overrides(
        Settings(), ["epochs=5", "name=valve", "inner.rate=0.25", "kind=two", "flag=true"]
    )
    assert changed == Settings(epochs=5, name="valve", kind="two", flag=True, inner=Inner(0.25))


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epoch=5", "unknown setting 'epoch'. Did you mean 'epochs'?"),
        ("epochs=five", "epochs: got 'five', wanted int"),
        ("epochs=true", "epochs: got True, wanted int"),
        ("kind=tow", "did you mean 'two'?"),
        ("inner.rat=1", "Did you mean 'rate'?"),
        ("name", "wants key=value, got 'name'"),
        ("epochs.deep=1", "'epochs' is not a group of settings"),
        ("sizes=[1, 'x']", "sizes: got 'x', wanted int"),
    ],
)
def test_what_is_wrong_is_named(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match="^--set") as error:
        config.with_overrides(Settings(), [assignment])
    assert message in str(error.value)
    assert error.value.exit_code == 2


def test_missing_and_malformed_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no settings file at"):
        config.load(Settings, tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("epochs = = 3")
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.load(Settings, tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match="cannot be read as a settings file: Is a directory"):
        config.load(Settings, tmp_path)


def test_a_setting_below_its_least_is_named() -> None:
    config.require_at_least(Settings(), epochs=20, limit=5)  # None is not looked at
    with pytest.raises(ConfigError, match="epochs is 20, wanted at least 21"):
        config.require_at_least(Settings(), limit=5, epochs=21)


def test_a_setting_that_is_not_positive_is_named() -> None:
    config.require_positive(Settings(), "epochs", "limit")
    with pytest.raises(ConfigError, match="epochs is 0, wanted more than 0"):
        config.require_positive(Settings(epochs=0), "epochs")
