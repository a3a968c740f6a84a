"""Published S-VAM checkpoints to a model directory: names, shapes, files, and how they are read safely."""
