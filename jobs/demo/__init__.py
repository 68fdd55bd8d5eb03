"""The demo: a year of real baskets, replayed as web sessions, with the reward of every action known.

Only the report and the tests read the truth; no job outside this package may import it.
"""
