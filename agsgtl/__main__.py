"""`python -m agsgtl`: the command line."""

from agsgtl.cli import main

main()
