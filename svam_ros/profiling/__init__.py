"""Stage timer, histograms and reports."""
