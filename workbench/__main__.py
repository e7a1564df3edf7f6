"""`python -m workbench`: the same as the console command."""

from workbench.cli import main

main()
