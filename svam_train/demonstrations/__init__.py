"""Demonstrations of the scripted experts, recorded in simulation; experts that take over from a policy."""
