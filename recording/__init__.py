"""Recordings: a site's tracks and published gids in a folder. Recording, import, replay and export."""
