"""Scenarios of `layouts`: whether readers see a row."""

LIVE = "live"
"""What is exported."""
BACKFILL = "backfill"
"""What would be drawn now for a night whose layouts were served: it is never exported."""
