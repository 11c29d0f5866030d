"""`python -m tests.soak` has the server make jobs for a while, and looks for what grows."""
