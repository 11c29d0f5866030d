"""What serves: the graph, the HTTP API, the dispatcher and its policies, and the `cyberimage` command."""
