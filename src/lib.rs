//! Rotated Secrets.
