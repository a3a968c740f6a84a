"""Every number of every stage, as frozen dataclasses, and named complete presets."""
