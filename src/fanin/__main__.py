"""`python -m fanin`, where the command `fanin` is not on the path."""

from fanin.cli import main

main()
