"""The TFX components that TFX does not have: each a folder with its interface and its executor."""

from taskroute.schemas import environment

environment.prepare()
