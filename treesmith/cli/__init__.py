"""The verbs' handlers, one module per family: they call and print, and decide nothing.

A handler takes `asked` (what holds for every verb) and exactly its declared arguments and options, and returns an
exit status or None. The modules of hot verbs import everything slow inside the functions.
"""
