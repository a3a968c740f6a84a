"""Training steps at full size: what they take on paper, and what they take."""
