"""The stages of training: each an objective for the training loop."""
