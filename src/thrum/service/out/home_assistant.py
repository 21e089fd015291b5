"""Machines announced to Home Assistant: a sensor of the state and a binary sensor of alarms each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from thrum.service import events
from thrum.service.config import Settings


def announcements(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield topic and payload of each announcement (MQTT discovery)."""
    assert settings.mqtt is not None
    site = settings.service.site
    for machine in settings.machines:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", f"thrum_{site}_{machine.name}")
        shared = {
            "state_topic": events.topic(settings, machine.name, "state"),
            "availability_topic": f"{settings.mqtt.prefix}/v1/{site}/status",
            "device": {
                "identifiers": [name],
                "name": machine.title or machine.name,
                "manufacturer": "thrum",
            },
        }
        state = {
            **shared,
            "name": "State",
            "unique_id": f"{name}_state",
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": shared["state_topic"],
        }
        alarm = {
            **shared,
            "name": "Alarm",
            "unique_id": f"{name}_alarm",
            "device_class": "problem",
            "value_template": "{{ 'ON' if value_json.state == 'alarm' else 'OFF' }}",
        }
        yield f"homeassistant/sensor/{name}/config", json.dumps(state)
        yield f"homeassistant/binary_sensor/{name}/config", json.dumps(alarm)
