"""The session: what was asked, the ledger, the loop over rounds, and the confirmation."""
