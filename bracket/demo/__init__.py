"""The embedded demo's world: drawn, captioned pictures, a new concept, and the checker that knows the truth."""
