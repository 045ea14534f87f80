"""What people see. The one room that imports rich, and only where a terminal is drawn on."""
