"""The networks and their spatial attention."""
