"""Contextual bandits that learn from daily statistics."""
