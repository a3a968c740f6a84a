"""Whether the tests would notice if a line of the guard were gone."""
