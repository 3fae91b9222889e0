"""From URLs to photos: a guarded transport under img2dataset, opt-outs, retries, and a ledger of every URL."""
