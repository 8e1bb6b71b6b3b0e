"""How a program logs in, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

SECURITY_SCHEMES: dict[str, Any] = {
    "token": {"type": "http", "scheme": "bearer", "description": "a token of `mtmc tokens add`"},
    "password": {"type": "http", "scheme": "basic", "description": "any user name, and the token as password"},
}
"""For `components.securitySchemes`."""
SECURITY: list[dict[str, list[str]]] = [{}, {"token": []}, {"password": []}]
"""For `security`: a page that is published on this machine only needs no login."""
