"""What each part of the network is good for: variants without one, trained and tried alike."""
