"""Episodes as MCAP files."""
