"""How an encoder learns."""
