"""The table of processes, and how they are started and stopped."""
