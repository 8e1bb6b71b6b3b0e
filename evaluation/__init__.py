"""Evaluates published identities: scores against ground truth, live figures, a report."""
