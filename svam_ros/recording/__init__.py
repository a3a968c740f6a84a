"""Episodes on disk: one MCAP file per episode, written while it happens and readable by anyone's tools."""
