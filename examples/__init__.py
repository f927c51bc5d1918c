"""Configs that run; a package, so that the installed command finds them."""
