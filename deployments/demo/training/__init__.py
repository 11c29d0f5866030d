"""What trains the demo models on one CPU core: optimizer, interruptible run, autoencoder, flow."""
