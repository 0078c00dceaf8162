"""Where the README's figures come from; each module is one command."""
