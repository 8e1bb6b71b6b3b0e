"""What a site's cameras saw and what was made of it, kept in a folder: recorded, imported, replayed, exported."""
