"""A synthetic lake of any size, in the forms that the door reads: for benchmarks, and to try a machine out.

Simulated from start to end: nothing in it is worth learning about people.
"""
