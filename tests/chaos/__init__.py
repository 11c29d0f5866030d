"""`python -m tests.chaos` kills the server's processes at random, and looks for what was lost or doubled."""
