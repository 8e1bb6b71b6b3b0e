"""The streamer: annotated pictures, a live page and a JSON API over HTTP."""
