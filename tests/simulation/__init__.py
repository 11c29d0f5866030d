"""The arbiter's policy beside others, on loads that are drawn at random: `make simulate`."""
