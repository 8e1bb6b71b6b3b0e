"""What the published identities are worth: scores against ground truth, live figures, a report."""
