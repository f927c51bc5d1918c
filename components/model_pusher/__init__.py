"""Puts a blessed model where the servers look for it."""
