"""The network as graphs that other libraries run: exported, built, checked, published, loaded."""
