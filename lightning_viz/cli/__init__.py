"""The command ``lightning-viz``: reads what runs have kept. Each subcommand imports what it needs when it runs."""
