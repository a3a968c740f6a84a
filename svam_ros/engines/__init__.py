"""Ways to run one forward pass, chosen by name."""
