"""The state of a site: one set of names and limits for the command line, the page, the API and the metrics."""
