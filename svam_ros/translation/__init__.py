"""Messages to observations and actions to commands, said once."""
