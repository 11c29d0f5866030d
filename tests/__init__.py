"""Whether the server does what it says."""
