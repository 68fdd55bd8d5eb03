"""Jobs: one module per table, the shell they share, sources, stores and the command line."""
