"""`vectis demo`: real orders through the bus, a durable transport and a worker, counted at the end.

Read `run.py` first. Nothing here is imported by the plugin itself.
"""
