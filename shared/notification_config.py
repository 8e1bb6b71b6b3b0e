"""The settings of the notifier: which events it sends, and where."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from shared.config_fields import Name, Section


class EventFilter(Section):
    """Which events are sent: those that fulfil every condition that is given."""

    kinds: tuple[Name, ...] = Field((), description="kinds of events, such as appeared, handover and left; empty: all")
    classes: tuple[str, ...] = Field((), description="classes of objects, such as person; empty: all")
    cameras: tuple[Name, ...] = Field((), description="cameras; empty: all")
    names: tuple[str, ...] = Field((), description="names that people gave to identities; empty: all")


def _require_scheme(url: str, schemes: tuple[str, ...]) -> str:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)} and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "must not contain a user or password: it is shown by `mtmc config show`; see the other settings"
        )
    return url


class MqttConfig(Section):
    """Events, tracked-object counts and camera states on an MQTT broker."""

    url: str = Field(description="mqtt://HOST or mqtts://HOST, with :PORT if it is not 1883 or 8883")
    user: str | None = Field(None, description="user name")
    password_env: str = Field(
        "MTMC_MQTT_PASSWORD", description="environment variable of the notifier with the password, if there is a user"
    )
    topic: str = Field("mtmc", pattern=r"^[^#+\s]+$", description="first part of every topic")
    only: EventFilter = EventFilter()
    home_assistant: str | None = Field(
        None,
        pattern=r"^[^#+\s]+$",
        description="topic under which Home Assistant looks for devices, usually homeassistant; null: announce none",
    )

    @field_validator("url")
    @classmethod
    def _is_mqtt(cls, url: str) -> str:
        return _require_scheme(url, ("mqtt", "mqtts"))


class WebhookConfig(Section):
    """An HTTP address to which events are posted."""

    name: Name = Field(description="name of this webhook; its position in the events is kept under this name")
    url: str | None = Field(None, description="http:// or https:// address that accepts POST")
    url_env: str | None = Field(
        None, description="environment variable of the notifier with the address, if that contains a secret"
    )
    secret_env: str | None = Field(
        None, description="environment variable of the notifier with the secret that signs the requests (HMAC-SHA256)"
    )
    only: EventFilter = EventFilter()
    timeout_seconds: float = Field(10.0, ge=0.1, le=120, description="how long to wait for an answer")

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        return None if url is None else _require_scheme(url, ("http", "https"))

    @model_validator(mode="after")
    def _has_one_address(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("set either url or url_env")
        return self


class NotificationsConfig(Section):
    """Where the notifier sends events; nowhere unless something is set."""

    mqtt: MqttConfig | None = None
    webhooks: tuple[WebhookConfig, ...] = Field((), max_length=32)

    @field_validator("webhooks")
    @classmethod
    def _hooks_differ(cls, webhooks: tuple[WebhookConfig, ...]) -> tuple[WebhookConfig, ...]:
        names = [one.name for one in webhooks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"names of webhooks must be unique; used more than once: {', '.join(twice)}")
        return webhooks

    @property
    def wanted(self) -> bool:
        """Whether anything is sent."""
        return self.mqtt is not None or bool(self.webhooks)
