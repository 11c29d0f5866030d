"""What may be asked for: settings and the registry of models."""
