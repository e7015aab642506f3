"""Readers: files, frames and named sets as sources."""
