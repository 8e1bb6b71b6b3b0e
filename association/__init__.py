"""Associates tracks across cameras into identities. A pure library: no Redis, no clock."""
