"""What ``wellfit NAME`` and ``pipelines/NAME.py`` do: a module for each command, called as the command is.

A module's docstring is what ``--help`` says, and its ``COMMAND`` has the options and the work.
"""
