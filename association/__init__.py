"""Tracks to identities. A library, pure: no Redis, no clock."""
