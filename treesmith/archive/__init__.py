"""tar and, later, OCI layers <-> a root's descriptor."""
