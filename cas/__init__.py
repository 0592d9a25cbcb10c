"""Bytes by digest: chunking, packs, uploads, the store and its seven verbs; knows no HTTP."""
