"""What a program is allowed to see and do, as a value, and the making of it. Builds and launches both use it."""
