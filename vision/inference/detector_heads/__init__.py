"""Input format and output decoding of the supported detector heads, and their recognition from a model.

A head is a subclass of `head.Head`. To add one, write it in the module of its family, list it in `table.HEADS` and in
`shared.head_names.HeadName`, add a network to `tests/unit/vision/conformance.py` and a line to docs/models.md.
"""
