"""The command svam."""
