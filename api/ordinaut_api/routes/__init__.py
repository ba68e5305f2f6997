"""The routes, one module for each noun in the paths."""
