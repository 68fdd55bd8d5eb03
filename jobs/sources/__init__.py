"""Readers of the lake: a list of files in, rows of an explicit schema out.

Each reader takes a DataFrame of files (path, source, form, arrival_date) and opens them inside the tasks.
What cannot be read becomes a row with `_reason`, `_file`, `_offset` (line or row number, from 1) and `_raw`
(JSON with personal data redacted); nothing is lost and nothing about the content of a file raises. Trouble
with the storage itself does raise, so that the task is tried again.
"""
