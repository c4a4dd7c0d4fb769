"""Human frames from a file, a socket or Redis in, robot frames to sockets and Redis out, at the model's rate."""
