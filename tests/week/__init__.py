"""A week of nights by the real scheduler, with faults, and no hand laid on it but what alerts ask for."""
