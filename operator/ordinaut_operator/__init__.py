"""The operator: takes over what is declared, keeps time, relays events, and cleans up."""
