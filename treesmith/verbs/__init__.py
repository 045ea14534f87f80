"""What may stand on the command line, as data, and the lean reader of it.

Every option is declared once, in `table`. Typer's app (cli/app.py) and the lean reader are both made from that.
"""
