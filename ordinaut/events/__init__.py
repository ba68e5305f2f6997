"""Events: their shape, and the stream that carries them to agents."""
