"""Starting a command in a tree of the store, and staying beside it until it ends."""
