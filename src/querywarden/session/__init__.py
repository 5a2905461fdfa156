"""What passes between a session and the world: inputs go in, effects come out, and nothing else does."""
