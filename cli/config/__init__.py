"""`mtmc config`: check, describe, convert and publish site files."""
