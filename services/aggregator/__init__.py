"""The aggregator: groups the tracks of all cameras into identities with permanent global ids."""
