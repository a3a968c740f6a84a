"""Model directories: manifest, verified load, atomic save."""
