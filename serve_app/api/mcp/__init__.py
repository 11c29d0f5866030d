"""A server of the Model Context Protocol, and the JSON-RPC dialect that earlier clients call by that name."""
