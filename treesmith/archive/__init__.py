"""tar and OCI layers <-> a root's descriptor."""
