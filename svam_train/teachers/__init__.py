"""Vision foundation models whose features the decouplers learn to foresee."""
