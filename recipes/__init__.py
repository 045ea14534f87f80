"""The recipes that come with treesmith."""
