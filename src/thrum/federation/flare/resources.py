"""What the engine's process at a site says when it is asked for its resources: how many new clips there are.

The one question that the engine carries between rounds. What is said stands in the ledger before: once, until
it is something else.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from nvflare.app_common.resource_managers.gpu_resource_manager import GPUResourceManager

from thrum import storage
from thrum.errors import ThrumError
from thrum.federation.flare.announcing import announced
from thrum.federation.flare.settings import SiteSettings, read_settings
from thrum.federation.ledger import Ledger
from thrum.federation.messages import plain

_log = logging.getLogger(__name__)


class SiteResources(GPUResourceManager):  # type: ignore[misc]
    """A site's resources, as its engine knows them: no GPU for rounds, and so many new clips."""

    def __init__(self) -> None:
        super().__init__(num_of_gpus=0, mem_per_gpu_in_GiB=0)
        self._said: str | None = None

    def report_resources(self, fl_ctx: Any) -> str:
        """Return the site's announcement as JSON; nothing where it cannot be read, or not be noted."""
        try:
            folder = read_settings(SiteSettings).out
            message = announced(folder)
            text = json.dumps(plain(message))
            if text != self._said:
                content = text.encode()
                Ledger(folder / "ledger.jsonl").record(
                    "announcement",
                    f"{message.new_clips} new clips, each time that the server asks",
                    clips=0,
                    n_bytes=len(content),
                    sha256=storage.sha256_bytes(content),
                )
                self._said = text
        except ThrumError:
            _log.exception("new clips could not be announced")
            return ""
        return text
