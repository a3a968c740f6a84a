"""One module a command: its options as a dataclass, and what it does."""
