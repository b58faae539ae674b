"""Keys of DKIM signers, from the DNS."""
