"""Vectis: an event hub whose handlers, transports and policies are plugins."""
