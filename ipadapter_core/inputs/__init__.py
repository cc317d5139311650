"""The one door: what comes through a socket is checked here, by kind, before anything is made of it."""
