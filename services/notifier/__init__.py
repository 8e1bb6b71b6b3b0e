"""Sends events to an MQTT broker and to webhooks."""
