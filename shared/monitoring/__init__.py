"""The HTTP endpoints of a process: metrics, liveness and readiness."""
