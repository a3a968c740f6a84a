"""From finished runs to model directories."""
